"""Find where in a page a triple rests: character offsets, so that a person can be shown the passage."""

import re

from components.shared.grounding import Grounding, grounding, sentences

ALIKE = (
    0.6  # share of a sentence's words that a sentence of the page must hold to count as its source
)
MOST = 3  # sentences of the page that stand in when nothing is quoted

Span = tuple[int, int]
_WORD = re.compile(r"\w+")


def find_span(text: str, passage: str) -> Span | None:
    """Return [start, end) of `passage` in `text`, white space and letter case aside, or None."""
    words = passage.split()
    if not words:
        return None
    pattern = r"\s+".join(map(re.escape, words))
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)
    return found.span() if found else None


def evidence(text: str, input: str, output: str) -> list[Span]:
    """Return the spans that a triple rests on, in order and apart from each other; never none on a page with text.

    That is its input where it is quoted, else the sentences of the page that come closest to the sentences of the
    input, else those that come closest to the output.
    """
    for passage in (input, output):
        if span := find_span(text, passage):
            return [span]
    page = _sentence_spans(text)
    near = [_nearest(text, page, sentence, ALIKE) for sentence in sentences(input)]
    if not any(near):
        near = [_nearest(text, page, sentence, 0.0) for sentence in sentences(output)][:MOST]
    return _merged([span for span in near if span]) or [(0, len(text))]


def judge(text: str, spans: list[Span], input: str, output: str) -> Grounding:
    """Return how well the spans bear out a triple: its output, and its input too where that is not quoted."""
    passage = " ".join(text[start:end] for start, end in spans)
    if not input or find_span(text, input):
        return grounding(output, passage)
    return min(grounding(output, passage), grounding(input, passage))


def _sentence_spans(text: str) -> list[Span]:
    spans, start = [], 0
    for sentence in sentences(text):
        start = text.index(sentence, start)
        spans.append((start, start + len(sentence)))
        start += len(sentence)
    return spans


def _nearest(text: str, page: list[Span], sentence: str, least: float) -> Span | None:
    """Return the sentence of the page that shares most words with this one, if it shares at least `least` of them."""
    words = set(_WORD.findall(sentence.lower()))
    shares = [
        (len(words & set(_WORD.findall(text[a:b].lower()))) / max(len(words), 1), -a, (a, b))
        for a, b in page
    ]
    share, _, span = max(shares, default=(0.0, 0, None))
    return span if span and words and share > 0 and share >= least else None


def _merged(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in sorted(set(spans)):
        if found and start <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
