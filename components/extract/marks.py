"""Mark what of a page is not for learning: references and boilerplate."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

_REFERENCES = re.compile(
    r"^(?:\d{1,2}\.?\s+|[IVX]+\.\s+)?(?:references|bibliography|literature cited)\s*$", re.I | re.M
)
_AFTER = re.compile(
    r"^(?:(?:appendix|appendices|supplementary|supplemental)\b.{0,60}"
    r"|[A-H]\.?(?:\d\.?)?\s+[A-Z][^.\n]{3,70})$",
    re.M | re.I,
)
_THANKS = re.compile(
    r"^(?:\d{1,2}\.?\s+)?(?:acknowledge?ments?|funding|author contributions"
    r"|conflicts? of interest)\s*$",
    re.I | re.M,
)
_HEADING = re.compile(r"^(?:(?:\d{1,2}|[A-H])\.?\s+)?[A-Z][^.\n]{2,60}$", re.MULTILINE)
_BOILERPLATE = re.compile(
    r"permission to make digital or hard copies|copyrights for components|all rights reserved"
    r"|under review as a|preprint\. (?:under|work)|corresponding authors?\s?:|equal contribution"
    r"|©|proceedings of the \d|^\W{0,5}[\w.,\s]{1,200}\}?@[\w-]+\.\w+",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://doi\.org/\S+\s*", re.IGNORECASE)
LINE = 400  # characters of a line that are looked at: boilerplate says so soon


def marks(pages: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return for each page its marks, {"kind", "start", "end"} in characters of it, in order."""
    found: list[list[dict[str, Any]]] = [[] for _ in pages]
    for number, kind, start, end in _sections(pages):
        found[number].append({"kind": kind, "start": start, "end": end})
    for number, page in enumerate(pages):
        sections = list(found[number])
        start = 0
        for line in page.split("\n"):
            end = start + len(line)
            inside = any(mark["start"] <= start < mark["end"] for mark in sections)
            if not inside and _is_boilerplate(line):
                found[number].append({"kind": "boilerplate", "start": start, "end": end})
            start = end + 1
        found[number].sort(key=lambda mark: mark["start"])
    return found


def _is_boilerplate(line: str) -> bool:
    last = line[-LINE:].rpartition(" ")[2]
    return bool(_BOILERPLATE.search(line[:LINE]) or _LINK.fullmatch(last))


def _sections(pages: Sequence[str]) -> Iterator[tuple[int, str, int, int]]:
    """Yield (page, kind, start, end) of references, to an appendix or the end, and of thanks."""
    inside = False
    for number, page in enumerate(pages):
        at = after_at = 0
        if not inside:
            if thanks := _THANKS.search(page):
                end = _start(_HEADING.search(page, thanks.end() + 1), page)
                yield number, "boilerplate", thanks.start(), end
            for heading in _REFERENCES.finditer(page):  # the last one counts
                inside, at, after_at = True, heading.start(), heading.end()
        if inside:
            after = _AFTER.search(page, after_at)
            stop = _start(after, page)
            if stop > at:
                yield number, "references", at, stop
            inside = after is None


def _start(found: re.Match[str] | None, page: str) -> int:
    return found.start() if found else len(page)
