"""Repair the text of a paper; every repair is counted by its kind."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from components.shared.text import clean

LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("|".join(LIGATURES))
_BREAK = re.compile(r"(?P<left>[^\s-]{1,60})-[ \t]{0,9}\n[ \t]{0,9}(?P<right>[^\s-]{1,60})")
_WORD = re.compile(r"[^\W\d_]+")
_COMPOUND = re.compile(r"[^\W_]{1,40}(?:-[^\W_]{1,40})+")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
_PAGE_NUMBER = re.compile(
    r"(?:page\s?)?[-–—]?\s?\d{1,4}\s?(?:(?:of|/)\s?\d{1,4})?\s?[-–—]?", re.IGNORECASE
)
_STAMP = re.compile(r"arXiv:\S+\s+\[[\w.-]+\]\s+\d{1,2} \w{3} \d{4}")
# Parts of compounds that a paper may write but once, where a line breaks.
_COMPOUNDS = """state-of of-the the-art end-to to-end well-known x-ray n-gram e-mail fine-grained
large-scale real-world real-time long-term short-term speed-up pre-trained"""
_HEADS = ("x", "t", "k", "n", "self", "well", "non", "multi", "cross", "semi", "quasi")
# Ends of words that are one
_ENDS = ("while", "ever", "work", "works", "set", "sets", "line", "lines", "stream", "out")
EDGE = 2  # lines at the top and at the foot of a page where running heads stand
REPEATED = 0.4  # share of pages on which a line at the edge is a running head
MIN_PAGES = 3


def repair(pages: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """Return the repaired texts of a paper's pages, and how often each repair was made."""
    counts: Counter[str] = Counter()
    plain = []
    for page in pages:
        text, ligatures = _LIGATURE.subn(lambda found: LIGATURES[found.group()], page)
        cleaned = clean(text).replace("\ufffd", "")
        counts["ligatures"] += ligatures
        counts["control characters"] += len(text.replace("\r\n", "\n")) - len(cleaned)
        plain.append(cleaned)
    joiner = _Joiner(plain)
    joined = [_BREAK.sub(joiner.join, text) for text in plain]
    counts["hyphen breaks"] += joiner.count
    return [_in_lines(text) for text in joined], +counts


def _in_lines(text: str) -> str:
    lines = unicodedata.normalize("NFC", text).split("\n")
    stripped = [_SPACES.sub(" ", line).strip() for line in lines]
    return "\n".join(line for line in stripped if line)


class _Joiner:
    """Joins words that were broken at the end of a line, as the paper writes them elsewhere."""

    def __init__(self, pages: Iterable[str]) -> None:
        self.count = 0
        self._words: set[str] = set()
        self._compounds = set(_COMPOUNDS.split())
        for page in pages:
            whole = _BREAK.sub(" ", page).lower()
            self._words.update(_WORD.findall(whole))
            for compound in _COMPOUND.findall(whole):
                parts = compound.split("-")
                self._compounds.update(f"{a}-{b}" for a, b in pairwise(parts))

    def join(self, found: re.Match[str]) -> str:
        """Return two halves as one word, with or without the hyphen between them."""
        self.count += 1
        left, right = found["left"], found["right"]
        return f"{left}-{right}" if self._is_compound(left, right) else left + right

    def _is_compound(self, left: str, right: str) -> bool:
        if not right[0].islower() or "/" in left or "www." in left or not left[-1].islower():
            return True
        before, after = (_WORD.findall(left.lower())[-1], _WORD.findall(right.lower())[0])
        if before + after in self._words:
            return False
        if f"{before}-{after}" in self._compounds or before in _HEADS:
            return True
        both_are_words = {before, after} <= self._words and min(len(before), len(after)) > 1
        return both_are_words and after not in _ENDS


def without_edges(pages: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """Return the pages without running heads, page numbers and arXiv's stamp, and their counts.

    A running head is a line at the top or foot that comes back on many pages, its numbers aside.
    """
    counts: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_form(line) for line in _edges(page.split("\n"))})
    enough = max(MIN_PAGES, REPEATED * len(pages))
    repaired = []
    for page in pages:
        lines = page.split("\n")
        long = len(lines) > 2 * EDGE  # a page of few lines is all edge
        for line in _edges(lines):
            kind = _kind(line)
            if not kind and long and seen[_form(line)] >= enough:
                kind = "running heads"
            if kind:
                lines.remove(line)
                counts[kind] += 1
        repaired.append("\n".join(lines))
    return repaired, counts


def _kind(line: str) -> str:
    if _STAMP.match(line):
        return "arXiv stamps"
    return "page numbers" if _PAGE_NUMBER.fullmatch(line) else ""


def _edges(lines: list[str]) -> list[str]:
    return [line for line in dict.fromkeys([*lines[:EDGE], *lines[-EDGE:]]) if line]


def _form(line: str) -> str:
    return re.sub(r"\d+", "#", line.lower())
