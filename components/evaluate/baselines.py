"""Trivial baselines: what no model at all would score. A tuned model that does not beat them has
learned to copy.

None of them sees the reference answer of a test example: they get the instruction and the input
only, and what else they know (how long answers are, what answers look like) they take from the
training answers. Their names stand in answers.jsonl; components/shared/verdict.py says how people
call them.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from components.evaluate.generation import Generation
from components.shared.records import Answer, Example
from components.shared.verdict import BASE, BASE_CUT, TUNED

COPY_INPUT = "echo input"
FIRST_WORDS = "first words"
COPY_INSTRUCTION = "echo instruction"
RANDOM_ANSWER = "random training answer"
EMPTY = "empty"


def all_baselines(
    examples: Sequence[Example],
    training: Sequence[Example],
    models: Mapping[str, Sequence[Answer] | Sequence[Generation]],
    seed: int,
) -> dict[str, list[str]]:
    """Return the answers of every baseline, by name of the system; `models` by system, too."""
    texts = baseline_answers(examples, [example.completion for example in training], seed)
    if TUNED in models:
        base = [answer.text for answer in models[BASE]]
        texts[BASE_CUT] = base_cut(base, [answer.text for answer in models[TUNED]])
    return texts


def baseline_answers(
    examples: Sequence[Example], outputs: Sequence[str], seed: int
) -> dict[str, list[str]]:
    """Return the answers of the baselines that need no model; `outputs` are training answers."""
    length, draw = mean_words(outputs), random.Random(seed)
    systems: dict[str, Callable[[Example], str]] = {
        COPY_INPUT: lambda example: example.input,
        FIRST_WORDS: lambda example: first_words(example.input, length),
        COPY_INSTRUCTION: lambda example: example.instruction,
        RANDOM_ANSWER: lambda _: draw.choice(outputs) if outputs else "",
        EMPTY: lambda _: "",
    }
    return {name: list(map(answer, examples)) for name, answer in systems.items()}


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
