"""Trivial baselines: what no model at all would score. A tuned model that does not beat them has
learned to copy.

None of them sees the reference answer of a test example: they get the instruction and the input
only, and what else they know (how long answers are, what answers look like) they take from the
training answers. Their names stand in answers.jsonl; components/shared/verdict.py says how people
call them.
"""

import random
from collections.abc import Sequence

COPY_INPUT = "echo input"
FIRST_WORDS = "first words"
COPY_INSTRUCTION = "echo instruction"
RANDOM_ANSWER = "random training answer"
EMPTY = "empty"

Task = tuple[str, str]  # instruction, input


def baseline_answers(
    tasks: Sequence[Task], training: Sequence[str], seed: int
) -> dict[str, list[str]]:
    """Return the answers of the baselines that need no model, by name of the system."""
    length = mean_words(training)
    draw = random.Random(seed)
    return {
        COPY_INPUT: [input for _, input in tasks],
        FIRST_WORDS: [first_words(input, length) for _, input in tasks],
        COPY_INSTRUCTION: [instruction for instruction, _ in tasks],
        RANDOM_ANSWER: [draw.choice(training) if training else "" for _ in tasks],
        EMPTY: ["" for _ in tasks],
    }


def base_cut(base: Sequence[str], tuned: Sequence[str]) -> list[str]:
    """Return the base's answers, each cut to the tuned answer's words: length is no skill."""
    pairs = zip(base, tuned, strict=True)
    return [first_words(text, len(other.split())) for text, other in pairs]


def mean_words(texts: Sequence[str]) -> int:
    """Return the mean length in words, rounded; 0 when there are no texts."""
    return round(sum(len(text.split()) for text in texts) / len(texts)) if texts else 0


def first_words(text: str, count: int) -> str:
    """Return the first `count` words, joined by single blanks."""
    return " ".join(text.split()[:count])
