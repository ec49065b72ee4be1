"""Read title and opening of local PDFs in a child process: a hostile file costs its deadline, never the server."""

import re
from collections.abc import Sequence
from pathlib import Path

from components.shared.errors import ArxtuneError
from components.shared.sandbox import run_in_child
from components.shared.text import clean_line

DEADLINE_S = 10.0  # for one file
MEMORY_MIB = 2048
ABSTRACT = 1500  # characters of the first page that pass for its abstract
STAMP = re.compile(
    r"arXiv:\S+"
)  # in the margin of arXiv's own PDFs, often the first line of the text

Described = tuple[str, str]  # title and abstract, "" where unreadable


def describe(files: Sequence[Path]) -> list[Described]:
    """Return title and abstract of each file."""
    return [_described(path) for path in files]


def _described(path: Path) -> Described:
    try:
        return run_in_child(_read, str(path), deadline_s=DEADLINE_S, memory_mib=MEMORY_MIB)
    except (ArxtuneError, OSError):
        return "", ""


def _read(path: str) -> Described:
    """Return title and abstract of one PDF, "" for what it does not tell."""
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        told = reader.metadata.title if reader.metadata else ""
        text = reader.pages[0].extract_text()
    except Exception:  # whatever a broken file makes of the parser, the file is served all the same
        return "", ""
    lines = [clean_line(line) for line in text.splitlines()]
    lines = [line for line in lines if line and not STAMP.match(line)]
    named = clean_line(str(told or ""))
    title = named if named and not STAMP.match(named) else "".join(lines[:1])
    whole = clean_line(text)
    opening = re.search(r"\babstract\b[\s.:-]*", whole, re.IGNORECASE)
    return title[:300], whole[opening.end() if opening else 0 :][:ABSTRACT]
