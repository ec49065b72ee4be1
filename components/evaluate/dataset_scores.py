"""What trivial baselines, and answers made elsewhere, score on any dataset."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluate.baselines import RANDOM_ANSWER, baseline_answers
from components.evaluate.metrics import FURTHER
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
    """Return the mean scores of each system by tokenizer; `others` are answers by name of their
    system.

    Without training examples the baselines know the dataset's own answers, each row those of the
    other rows.
    """
    outputs = [example.completion for example in examples]
    known = [example.completion for example in training] or outputs
    systems = baseline_answers(examples, known, seed)
    if not training:
        systems[RANDOM_ANSWER] = _answers_of_others(outputs, seed)
    tables: dict[str, list[Row]] = {name: [] for name in TOKENIZERS}
    for name, table in tables.items():
        for system, texts in {**others, **systems}.items():
            table.append(_row(system, outputs, texts, name))
    return tables


def _answers_of_others(outputs: Sequence[str], seed: int) -> list[str]:
    draw, count = random.Random(seed), len(outputs)
    if count < 2:
        return [""] * count
    return [outputs[(place + draw.randrange(1, count)) % count] for place in range(count)]


def _row(system: str, references: Sequence[str], texts: Sequence[str], tokenizer: str) -> Row:
    pairs = list(zip(references, texts, strict=True))
    found = [score(*pair, TOKENIZERS[tokenizer]) for pair in pairs]
    row: Row = {"system": system, "words": mean([float(len(text.split())) for text in texts])}
    for metric in METRICS:
        row[metric] = {}
        for part in ("fmeasure", "precision", "recall"):
            row[metric][part] = mean([getattr(one[metric], part) for one in found])
    for further in FURTHER:
        row[further.name] = mean([further.function(*pair) for pair in pairs])
    return row
