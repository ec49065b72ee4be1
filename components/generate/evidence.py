"""Find where in a page a triple rests, as character offsets that can be shown."""

import re
from itertools import islice

from components.shared.grounding import grounding, sentences

ALIKE = 0.6  # share of a sentence's words that its source, a sentence of the page, holds at least
MOST = 3  # sentences of the page that stand in when nothing is quoted
MOST_COMPARED = 30  # sentences of an input that is not quoted

Span = tuple[int, int]
_WORD = re.compile(r"\w+")


def find_span(text: str, passage: str) -> Span | None:
    """Return [start, end) of `passage` in `text`, white space and letter case aside, or None."""
    words = passage.split()
    # What is not there at all is told in linear time, which a search by pattern may not be.
    if not words or " ".join(words).casefold() not in " ".join(text.split()).casefold():
        return None
    pattern = r"\s++".join(map(re.escape, words))
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)
    return found.span() if found else None


def evidence(text: str, input: str, output: str) -> list[Span]:
    """Return the spans that a triple rests on, in order and apart from each other; never none on a
    page with text.

    That is its input where it is quoted, else the sentences of the page that come closest to the
    sentences of the input, else those that come closest to the output.
    """
    for passage in (input, output):
        if span := find_span(text, passage):
            return [span]
    page = _sentences(text)
    near = [_nearest(page, sentence, ALIKE) for sentence in islice(sentences(input), MOST_COMPARED)]
    if not any(near):
        near = [_nearest(page, sentence, 0.0) for sentence in islice(sentences(output), MOST)]
    return _merged(set(filter(None, near))) or [(0, len(text))]


def score(text: str, spans: list[Span], input: str, output: str) -> float:
    """Return how well the spans bear out the output, and the input where it is not quoted."""
    passage = " ".join(text[start:end] for start, end in spans)
    found = grounding(output, passage).score
    if input and not find_span(text, input):
        found = min(found, grounding(input, passage).score)
    return found


def _sentences(text: str) -> list[tuple[Span, set[str]]]:
    """Return the place and the words of each sentence."""
    found, end = [], 0
    for sentence in sentences(text):
        start = text.index(sentence, end)
        end = start + len(sentence)
        found.append(((start, end), _words(sentence)))
    return found


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _nearest(page: list[tuple[Span, set[str]]], sentence: str, least: float) -> Span | None:
    """Return the first sentence of a page that shares most words, if it shares enough."""
    words = _words(sentence)
    best, found = 0.0, None
    for span, known in page:
        share = len(words & known) / max(len(words), 1)
        if share > best and share >= least:
            best, found = share, span
    return found


def _merged(spans: set[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
