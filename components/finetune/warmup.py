"""What the made-on-the-spot base learns from: random tokens and the primer, with parts of both written twice.

It teaches copying in general: neither the tasks of any teacher nor the prompt template, and no paper, is in here.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path

PRIMER = Path(__file__).with_name("primer.txt")
IGNORED = -100  # label of tokens without loss
RESERVED = 3  # pad, begin and end come first in the vocabulary

Row = tuple[list[int], list[int]]  # tokens and labels


def read_primer() -> str:
    """Return the shipped text."""
    return PRIMER.read_text("utf-8")


def span_row(rng: random.Random, length: int, vocabulary: int) -> Row:
    """Return random tokens and parts of them again; only what repeats has a loss."""
    size = rng.randint(length // 8, length // 2)
    pool = [rng.randrange(RESERVED, vocabulary) for _ in range(rng.choice((16, 64, 256)))]
    span = [rng.choice(pool) for _ in range(size)]
    tokens, labels = list(span), [IGNORED] * size
    while len(tokens) < length:
        start = rng.randrange(max(1, size - 8))
        part = span[start : start + rng.randint(8, max(8, size))]
        tokens += part
        labels += [IGNORED, IGNORED, *part[2:]]
    return tokens[:length], labels[:length]


class TextRows:
    """Rows of primer sentences, or of its words at random, then some of them again, a line each."""

    def __init__(self, rng: random.Random, encode: Callable[[str], list[int]], begin: int, end: int) -> None:
        self.rng, self.encode, self.begin, self.end = rng, encode, begin, end
        text = read_primer()
        self.words = text.split()
        self.paragraphs = [re.split(r"(?<=[.!?])\s+", p.strip()) for p in text.split("\n\n") if p.strip()]

    def row(self, length: int) -> Row:
        """Return one row; one in five has a loss on all of its text, the others on what repeats alone."""
        rng = self.rng
        sentences = self._salad() if rng.random() < 0.5 else rng.choice(self.paragraphs) + rng.choice(self.paragraphs)
        if rng.random() < 0.5:
            sentences = rng.sample(sentences, len(sentences))
        sentences = sentences[: rng.randint(3, 6)]
        words = " ".join(sentences).split()
        start = rng.randrange(max(1, len(words) - 8))
        lines = [" ".join(sentences)]
        if rng.random() < QUOTED:
            lines.insert(rng.randrange(2), self._quote(words[start : start + rng.randint(2, 4)]))
        tokens = [self.begin, *self.encode("\n".join(lines))]
        whole = rng.random() < 0.2
        labels = list(tokens) if whole else [IGNORED] * len(tokens)
        while len(tokens) < length:
            again = self._again(sentences, words[start : start + rng.randint(6, 15)])
            tokens += again
            labels += again if whole else [IGNORED, *again[1:]]
            if rng.random() < 0.5:
                tokens.append(self.end)
                labels.append(self.end)
                break
        return tokens[:length], labels[:length]

    def _salad(self) -> list[str]:
        """Return sentences of random words: they can be told again only by copying."""
        rng, found = self.rng, []
        for _ in range(rng.randint(3, 6)):
            words = [rng.choice(self.words).strip('.,;:"').lower() for _ in range(rng.randint(6, 16))]
            found.append(" ".join(words).capitalize() + ".")
        return found

    def _quote(self, words: list[str]) -> str:
        """Return a line of random words around some words of the text in quotation marks."""
        around = [self.rng.choice(self.words) for _ in range(self.rng.randint(0, 5))]
        return " ".join([*around, f"“{' '.join(words)}”{self.rng.choice('.?')}"])

    def _again(self, sentences: list[str], span: list[str]) -> list[int]:
        """Return the tokens of a new line with a sentence or a span of the text."""
        chance = self.rng.random()
        part = " ".join(span) if chance < 0.3 else sentences[-1] if chance < 0.45 else self.rng.choice(sentences)
        return self.encode("\n" + part)


QUOTED = 0.6  # share of rows in which some words of the text are quoted, before or after it
