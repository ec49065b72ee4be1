"""Find where in a page a triple rests, as character offsets that can be shown."""

import re
from functools import lru_cache
from itertools import islice

from components.shared.grounding import Grounding, grounding, sentences

ALIKE = (
    0.6  # share of a sentence's words that a sentence of the page must hold to count as its source
)
MOST = 3  # sentences of the page that stand in when nothing is quoted
MOST_COMPARED = 30  # sentences of an input that is not quoted

Span = tuple[int, int]
_WORD = re.compile(r"\w+")


def find_span(text: str, passage: str) -> Span | None:
    """Return [start, end) of `passage` in `text`, white space and letter case aside, or None."""
    page, places = _folded(text)
    wanted = _folded(passage)[0].strip()
    at = page.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if not (_is_word(page[at - 1 : at]) or _is_word(page[end : end + 1])):
            return places[at], places[end - 1] + 1
        at = page.find(wanted, at + 1)
    return None


@lru_cache(8)
def _folded(text: str) -> tuple[str, list[int]]:
    """Return a text in small letters, with single blanks, and where each character stood."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        small = " " if character.isspace() else character.lower()
        if small != " " or characters[-1:] != [" "]:
            characters.append(small if len(small) == 1 else character)
            places.append(place)
    return "".join(characters), places


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def evidence(text: str, input: str, output: str) -> list[Span]:
    """Return the spans that a triple rests on, in order and apart from each other; never none on a
    page with text.

    That is its input where it is quoted, else the sentences of the page that come closest to the
    sentences of the input, else those that come closest to the output.
    """
    for passage in (input, output):
        if span := find_span(text, passage):
            return [span]
    page = [(span, _words(text[slice(*span)])) for span in _sentence_spans(text)]
    parts = islice(sentences(input), MOST_COMPARED)
    near = [_nearest(page, _words(sentence), ALIKE) for sentence in parts]
    if not any(near):
        near = [_nearest(page, _words(part), 0.0) for part in islice(sentences(output), MOST)]
    return _merged([span for span in near if span]) or [(0, len(text))]


def judge(text: str, spans: list[Span], input: str, output: str) -> Grounding:
    """Return how well the spans bear out the output, and the input where it is not quoted."""
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


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _nearest(page: list[tuple[Span, set[str]]], words: set[str], least: float) -> Span | None:
    """Return the first sentence that shares most of these words, if it shares enough."""
    best, found = 0.0, None
    for span, known in page:
        share = len(words & known) / max(len(words), 1)
        if share > best:
            best, found = share, span
    return found if best >= least else None


def _merged(spans: list[Span]) -> list[Span]:
    found: list[Span] = []
    for start, end in sorted(set(spans)):
        if found and start <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
