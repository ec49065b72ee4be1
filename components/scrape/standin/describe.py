"""Read title, authors and opening of local PDFs in a child: a hostile file costs its deadline
only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.scrape.standin.front_page import STAMP, fragments, title_and_authors
from components.shared.errors import ArxtuneError
from components.shared.sandbox import run_in_child
from components.shared.text import clean_line

DEADLINE_S = 10.0  # for one file
MEMORY_MIB = 2048
ABSTRACT = 1500  # characters of the first page that pass for its abstract
AUTHORS = 200  # of one paper


@dataclass(frozen=True)
class Described:
    """What a PDF tells of itself, on single lines: "" and () for what it does not."""

    title: str = ""
    authors: tuple[str, ...] = ()
    abstract: str = ""


def describe(path: Path) -> Described:
    """Return what a file tells."""
    try:
        return run_in_child(_read, str(path), deadline_s=DEADLINE_S, memory_mib=MEMORY_MIB)
    except (ArxtuneError, OSError):
        return Described()


def _read(path: str) -> Described:
    """Return what one PDF tells: in its metadata, else on its first page."""
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        told: Mapping[str, object] = reader.metadata or {}
        text = reader.pages[0].extract_text()
        title, authors = title_and_authors(fragments(reader.pages[0]))
    except Exception:  # whatever a broken file makes of the parser, the file is served all the same
        return Described()
    named = clean_line(str(told.get("/Title") or ""))
    if named and not STAMP.match(named):
        title = named
    if not title:
        lines = [clean_line(line) for line in text.splitlines()]
        title = next((line for line in lines if line and not STAMP.match(line)), "")
    signed = clean_line(str(told.get("/Author") or "")).translate({ord("{"): None, ord("}"): None})
    if signed:
        authors = re.split(r"\s*(?:;|,| and )\s*", signed)
    names = [clean_line(author) for author in authors]
    whole = clean_line(text)
    opening = re.search(r"\babstract\b[\s.:-]*", whole, re.IGNORECASE)
    start = opening.end() if opening else 0
    return Described(
        title=clean_line(title)[:300],
        authors=tuple(name[:100] for name in names if name)[:AUTHORS],
        abstract=whole[start:][:ABSTRACT],
    )
