"""What null systems, and answers made elsewhere, score on any dataset: no model, no training, no store."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluate.baselines import RANDOM_ANSWER, baseline_answers
from components.evaluate.rouge import METRICS, TOKENIZERS, score
from components.evaluate.scoring import mean
from components.shared.records import Example

Row = dict[str, Any]  # system, words, and of each metric {"precision", "recall", "fmeasure"}


def dataset_scores(
    examples: Sequence[Example],
    training: Sequence[Example],
    others: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, list[Row]]:
    """Return the mean scores of each system by tokenizer; `others` are answers by name of their system.

    Without training examples the baselines know the dataset's own answers, each row those of the
    other rows.
    """
    tasks = [(example.instruction, example.input) for example in examples]
    outputs = [example.completion for example in examples]
    systems = baseline_answers(tasks, [example.completion for example in training] or outputs, seed)
    if not training:
        systems[RANDOM_ANSWER] = _answers_of_others(outputs, seed)
    return {
        name: [
            _row(system, outputs, texts, name) for system, texts in {**others, **systems}.items()
        ]
        for name in TOKENIZERS
    }


def _answers_of_others(outputs: Sequence[str], seed: int) -> list[str]:
    draw, count = random.Random(seed), len(outputs)
    return [
        outputs[(place + draw.randrange(1, count)) % count] if count > 1 else ""
        for place in range(count)
    ]


def _row(system: str, references: Sequence[str], texts: Sequence[str], tokenizer: str) -> Row:
    found = [score(*pair, TOKENIZERS[tokenizer]) for pair in zip(references, texts, strict=True)]
    figures = {
        metric: {
            part: mean([getattr(one[metric], part) for one in found])
            for part in ("fmeasure", "precision", "recall")
        }
        for metric in METRICS
    }
    return {
        "system": system,
        "words": mean([float(len(text.split())) for text in texts]),
        **figures,
    }
