"""What the stand-in offers: the shipped sample papers, or every PDF of a folder."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path

from components.scrape.standin.describe import Described, describe
from components.scrape.standin.pdf import render
from components.shared.errors import DataError

SAMPLES = Path(__file__).parent / "papers"
ID = re.compile(r"(\d\d(?:0[1-9]|1[0-2])\.\d{4,5})(?:v([1-9]\d*))?")
UNDATED = datetime(2024, 4, 18, 12, tzinfo=UTC)  # of files whose name tells no month
REVISED_AFTER = timedelta(
    days=20
)  # a sample of version 2 was revised so long after its first submission


PHYSICS = re.compile(r"astro-ph|cond-mat|gr-qc|hep-.*|math-ph|nlin|nucl-.*|physics|quant-ph")


def group_of(archive: str) -> str:
    """Return the group of an archive: itself, but for those of physics."""
    return "physics" if PHYSICS.fullmatch(archive) else archive


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One paper in its current version."""

    arxiv_id: str
    version: int = 1
    title: str
    authors: tuple[str, ...]
    abstract: str
    categories: tuple[str, ...] = ("cs.CL",)
    submitted: datetime  # first version, UTC
    revised: datetime  # this version, UTC
    licence: str = ""  # URL, or none
    comments: str = ""
    withdrawn: bool = False
    raw_title: str = ""  # as typed, with TeX, where that differs
    raw_authors: str = ""
    modified: date | None = None  # day of the last change of the metadata, where no version tells
    pdf: Callable[[], bytes]

    @property
    def changed(self) -> date:
        """Return the day of the last change, which OAI-PMH goes by."""
        return self.modified or self.revised.date()


@dataclass(frozen=True)
class Corpus:
    """Papers in the order of their ids, and the words that mark every page as none of arXiv's."""

    entries: tuple[Entry, ...]
    notice: str = "Stand-in of arxtune. Not arXiv. The papers are invented."

    def current(self) -> list[Entry]:
        """Return the papers in their current versions."""
        return list({entry.arxiv_id: entry for entry in self.entries}.values())


def sample_corpus() -> Corpus:
    """Return the shipped sample papers; their PDFs are rendered when asked for."""
    return Corpus(tuple(_sample(path) for path in sorted(SAMPLES.glob("*.txt"))))


def _sample(path: Path) -> Entry:
    head, _, body = path.read_text("utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    submitted = datetime.fromisoformat(fields["submitted"])
    version = int(fields["version"])
    authors = tuple(fields["authors"].split("; "))
    sections = list(parse_sections(body))
    return Entry(
        arxiv_id=path.stem,
        version=version,
        title=fields["title"],
        authors=authors,
        abstract=" ".join(sections[0][1]),
        categories=tuple(fields["categories"].split()),
        submitted=submitted,
        revised=submitted + (version - 1) * REVISED_AFTER,
        licence=fields["licence"],
        comments=fields["comments"],
        pdf=cache(partial(render, fields["title"], authors, sections)),
    )


def parse_sections(body: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (heading, paragraphs) of the text of a sample paper."""
    for part in re.split(r"^# ", body, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        yield (
            heading.strip(),
            [" ".join(block.split()) for block in text.split("\n\n") if block.strip()],
        )


def folder_corpus(folder: Path) -> Corpus:
    """Return every PDF of a folder as a paper, served byte for byte, broken ones too."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder", "name a folder that holds PDF files")
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() == ".pdf" and path.is_file()
    )
    if not files:
        raise DataError(f"{folder}: holds no PDF file", "put the papers there as *.pdf")
    taken: set[tuple[str, int]] = set()
    entries = []
    for path, told in zip(files, describe(files), strict=True):
        arxiv_id, version = _identity(path, taken)
        taken.add((arxiv_id, version))
        entries.append(_local(path, arxiv_id, version, told))
    entries.sort(key=lambda entry: (entry.arxiv_id, entry.version))
    return Corpus(tuple(entries), "Stand-in of arxtune. Not arXiv. The papers are local files.")


def _local(path: Path, arxiv_id: str, version: int, told: Described) -> Entry:
    dated = ID.fullmatch(arxiv_id)
    submitted = (
        datetime(2000 + int(arxiv_id[:2]), int(arxiv_id[2:4]), 1, 12, tzinfo=UTC)
        if dated
        else UNDATED
    )
    return Entry(
        arxiv_id=arxiv_id,
        version=version,
        title=told.title or path.stem,
        authors=told.authors or ("Unknown",),
        abstract=told.abstract or f"The text of {path.name} could not be read.",
        submitted=submitted,
        revised=submitted + (version - 1) * timedelta(days=1),
        comments=f"Local file {path.name}",
        pdf=path.read_bytes,
    )


def _identity(path: Path, taken: set[tuple[str, int]]) -> tuple[str, int]:
    """Return the id and version that the file name tells, else an invented id that changes with
    the content."""
    match = ID.fullmatch(path.stem)
    if match and (told := (match[1], int(match[2] or 1))) not in taken:
        return told
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    number = int.from_bytes(
        hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + content).digest()[:8]
    )
    while (f"0000.{number % 100_000:05d}", 1) in taken:
        number += 1
    return f"0000.{number % 100_000:05d}", 1
