"""Cut the text of a page into passages of whole sentences; whatever looks broken ends a passage."""

import re
from collections.abc import Iterator

SENTENCES = (3, 6)  # in a passage, at least and at most
CHARACTERS = 480  # of a passage at most: keeps the longest prompt of a small model short
WORDS = (6, 30)  # in a sentence

_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|al|etc|resp|approx|Fig|Figs|Eq|Eqs|Sec|Tab|Ref|Refs|No|Dr|[A-Z]))\.$"
)
_END = re.compile(r"(?<=[.!?])\s+(?=[\"“(]?[A-Z0-9])")
_SENTENCE = re.compile(r"[A-Z][^\n@{}\\<>|=_^~]*[.?!]")
_PLAIN = re.compile(r"[\w\s,.;:'’%()\[\]/&?!±–-]")


def headed_passages(page: str) -> list[tuple[str, list[str]]]:
    """Return the passages of a page, and for each the heading right above it, or ""."""
    found: list[tuple[str, list[str]]] = []
    for heading, block in _blocks(page):
        run: list[str] = []
        for sentence in [*split_sentences(block), ""]:
            if is_whole(sentence):
                run.append(sentence)
            else:
                for passage in _cut(run):
                    found.append((heading, passage))
                    heading = ""  # of the first passage below it
                run = []
    return found


def split_sentences(text: str) -> Iterator[str]:
    """Yield the pieces between sentence ends, white space made single."""
    start = 0
    for end in _END.finditer(text):
        if not _ABBREVIATION.search(text[max(start, end.start() - 8) : end.start()]):
            yield " ".join(text[start : end.start()].split())
            start = end.end()
    yield " ".join(text[start:].split())


def is_whole(sentence: str) -> bool:
    """Tell whether this reads like one unbroken sentence of prose."""
    words = sentence.split()
    return (
        WORDS[0] <= len(words) <= WORDS[1]
        and _SENTENCE.fullmatch(sentence) is not None
        and sentence.count("(") == sentence.count(")")
        and len(_PLAIN.findall(sentence)) == len(sentence)
        and sum(word[:1].islower() for word in words) >= len(words) / 2
        and not any(len(word) > 1 and word.endswith("-") for word in words)
    )


def _blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the stretches of running text between blank lines and headings, below their heading."""
    lines = [line.strip() for line in page.splitlines()]
    width = sorted(map(len, lines))[len(lines) // 2] if lines else 0
    heading = ""
    block: list[str] = []
    for line in lines:
        fresh = not block or block[-1][-1] in ".!?"
        headed = bool(line) and fresh and _is_heading(line, width)
        if line and not headed:
            block.append(line)
            continue
        if block:
            yield heading, "\n".join(block)
            heading, block = "", []
        if headed:
            heading = line
    yield heading, "\n".join(block)


def _is_heading(line: str, width: int) -> bool:
    """Tell a heading: where a sentence might begin, a short line that starts big and has no end."""
    return (
        len(line) < 0.75 * width
        and len(line.split()) <= 9
        and line[-1] not in ".!?,;-"
        and not line[0].islower()
    )


def _cut(run: list[str]) -> Iterator[list[str]]:
    """Yield equal passages of 3 to 6 sentences, none where run or sentences do not allow it."""
    least, most = SENTENCES
    pieces = -(-len(run) // most)
    for piece in range(pieces):
        passage = run[piece * len(run) // pieces : (piece + 1) * len(run) // pieces]
        while len(" ".join(passage)) > CHARACTERS:
            passage = passage[:-1]
        if len(passage) >= least:
            yield passage
