"""What the stand-in offers: the shipped sample papers, or every PDF of a folder."""

import contextlib
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
from components.shared.text import clean_line

SAMPLES = Path(__file__).parent / "papers"
ID = re.compile(r"(\d\d(?:0[1-9]|1[0-2])\.\d{4,5})(?:v([1-9]\d*))?")
UNDATED = datetime(2024, 4, 18, 12, tzinfo=UTC)  # of files whose name tells no month
REVISED_AFTER = timedelta(days=20)  # a sample of version 2 after its first submission
LARGEST = 512 * 2**20  # bytes of a local file that is served


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
    files = sorted(path for path in folder.glob("*.[pP][dD][fF]") if path.is_file())
    if not files:
        raise DataError(f"{folder}: holds no PDF file", "put the papers there as *.pdf")
    newest: dict[str, tuple[int, str]] = {}
    for path in files:
        if told := _told(path):
            newest[told[0]] = max((told[1], path.name), newest.get(told[0], (0, "")))
    taken: set[tuple[str, int]] = set()
    entries = []
    for path in files:
        problem = _problem(path, newest)
        identity = _told(path)
        if problem or identity is None or identity in taken:
            identity = _invented(path, problem, taken)
        taken.add(identity)
        entries.append(_local(path, *identity, problem))
    entries.sort(key=lambda entry: (entry.arxiv_id, entry.version))
    return Corpus(tuple(entries), "Stand-in of arxtune. Not arXiv. The papers are local files.")


def _problem(path: Path, newest: dict[str, tuple[int, str]]) -> str:
    """Return why a file is not served, or nothing; such a file is listed as a withdrawn paper."""
    if path.stat().st_size > LARGEST:
        return f": larger than {LARGEST >> 20} MiB"
    told = _told(path)
    if told and told[1] < newest[told[0]][0]:
        return f": replaced by {newest[told[0]][1]}"
    return ""


def _local(path: Path, arxiv_id: str, version: int, problem: str) -> Entry:
    told = Described() if problem else describe(path)
    submitted = UNDATED
    if ID.fullmatch(arxiv_id):
        submitted = datetime(2000 + int(arxiv_id[:2]), int(arxiv_id[2:4]), 1, 12, tzinfo=UTC)
    name = clean_line(path.name)
    return Entry(
        arxiv_id=arxiv_id,
        version=version,
        title=told.title or clean_line(path.stem) or "Untitled",
        authors=told.authors or ("Unknown",),
        abstract=told.abstract or f"The text of {name} could not be read.",
        submitted=submitted,
        revised=submitted + (version - 1) * timedelta(days=1),
        comments=f"Local file {name}{problem}",
        withdrawn=bool(problem),
        pdf=path.read_bytes,
    )


def _told(path: Path) -> tuple[str, int] | None:
    """Return the id and version that a file name tells."""
    match = ID.fullmatch(path.stem)
    return (match[1], int(match[2] or 1)) if match else None


def _invented(path: Path, problem: str, taken: set[tuple[str, int]]) -> tuple[str, int]:
    """Return an invented id that changes with the name and the content."""
    content = b""
    if not problem:
        with contextlib.suppress(OSError):
            content = path.read_bytes()
    name = path.name.encode("utf-8", "surrogateescape")
    number = int.from_bytes(hashlib.sha256(name + content).digest()[:8])
    while (f"0000.{number % 100_000:05d}", 1) in taken:
        number += 1
    return f"0000.{number % 100_000:05d}", 1
