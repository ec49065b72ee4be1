"""Repair the text of a paper; every repair is counted by its kind."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("|".join(LIGATURES))
_HYPHEN_BREAK = re.compile(r"(?<=[a-z])-[ \t]*\n[ \t]*(?=[a-z])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060\ufeff\ufffd\ud800-\udfff]"
)
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
_PAGE_NUMBER = re.compile(
    r"(?:page\s*)?[-–—]?\s*\d{1,4}\s*(?:(?:of|/)\s*\d{1,4})?\s*[-–—]?", re.IGNORECASE
)
_STAMP = re.compile(r"arXiv:\S+\s+\[[\w.-]+\]\s+\d{1,2} \w{3} \d{4}")
EDGE = 2  # lines at the top and at the foot of a page where running heads stand
REPEATED = 0.4  # share of pages on which a line at the edge is a running head
MIN_PAGES = 3


def repair(text: str) -> tuple[str, Counter[str]]:
    """Return the repaired text of one page and how often each repair was made."""
    counts: Counter[str] = Counter()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, counts["ligatures"] = _LIGATURE.subn(lambda found: LIGATURES[found.group()], text)
    text, counts["control characters"] = _CONTROL.subn("", text)
    text, counts["hyphen breaks"] = _HYPHEN_BREAK.subn("", text)
    lines = [
        _SPACES.sub(" ", line).strip() for line in unicodedata.normalize("NFC", text).split("\n")
    ]
    return "\n".join(line for line in lines if line), +counts


def without_edges(pages: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """Return the pages without running heads, page numbers and arXiv's stamp, and how many of each were removed.

    A running head is a line at the top or foot that comes back on many pages, its numbers aside.
    """
    counts: Counter[str] = Counter()
    seen = Counter(
        head for page in pages for head in {_form(line) for line in _edges(page.split("\n"))}
    )
    enough = max(MIN_PAGES, REPEATED * len(pages))
    repaired = []
    for page in pages:
        lines = page.split("\n")
        long = len(lines) > 2 * EDGE  # a page of few lines is all edge
        for line in _edges(lines):
            kind = (
                "arXiv stamps"
                if _STAMP.match(line)
                else "page numbers"
                if _PAGE_NUMBER.fullmatch(line)
                else "running heads"
                if long and seen[_form(line)] >= enough
                else ""
            )
            if kind:
                lines.remove(line)
                counts[kind] += 1
        repaired.append("\n".join(lines))
    return repaired, counts


def _edges(lines: list[str]) -> list[str]:
    return [line for line in dict.fromkeys([*lines[:EDGE], *lines[-EDGE:]]) if line]


def _form(line: str) -> str:
    return re.sub(r"\d+", "#", line.lower())
