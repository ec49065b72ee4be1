"""Find where in a page a triple rests, and how well: no language model is needed for it."""

import re

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]{3,}")


def find_span(text: str, passage: str) -> tuple[int, int] | None:
    """Return [start, end) of `passage` in `text`, white space aside, or None when it does not stand there."""
    words = passage.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    return found.span() if found else None


def evidence(text: str, input: str, output: str) -> list[tuple[int, int]]:
    """Return the spans that a triple rests on: its input, else its output, else the whole page."""
    for passage in (input, output):
        if span := find_span(text, passage):
            return [span]
    return [(0, len(text))]


def grounding(output: str, evidence_text: str) -> float:
    """Return the share of the output's words and numbers that stand in the evidence, 0 to 1.

    Words shorter than three letters say nothing and are left out; an output without words scores 0.
    """
    words = _WORD.findall(output.lower())
    known = set(_WORD.findall(evidence_text.lower()))
    return round(sum(word in known for word in words) / len(words), 4) if words else 0.0
