"""From answers to figures: the scores of each answer, the means of each system, the differences.

Everything here is a function of texts alone, so that `arxtune verify` can compute it again. Means
are taken by `math.fsum`: exact, whatever the order.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.evaluate.generation import Generation, Loss
from components.evaluate.metrics import FURTHER
from components.evaluate.rouge import METRICS, rouge_score_tokens, score, unicode_tokens
from components.evaluate.statistics import compare
from components.shared.records import Answer, Example, Source, read_records
from components.shared.verdict import BASE, MODELS, TUNED, Comparison, Group, Rules, SystemScores

GRAM = 4  # words that have to come again to count as repetition


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a folder or file; raise DataError naming the place of a bad one."""
    file = path / "examples.jsonl" if path.is_dir() else path
    return list(read_records(file, Example))


def read_sources(folder: Path) -> list[Source]:
    """Return the papers of a side; none where nobody wrote them down."""
    file = folder / "sources.jsonl"
    return list(read_records(file, Source)) if file.exists() else []


def answer_scores(reference: str, text: str) -> dict[str, float]:
    """Return all scores of an answer, by the names in answers.jsonl."""
    figures: dict[str, float] = {}
    ours = score(reference, text, unicode_tokens)
    published = score(reference, text, rouge_score_tokens)
    for name in METRICS:
        figures[name] = ours[name].fmeasure
        figures[f"{name}_precision"] = ours[name].precision
        figures[f"{name}_recall"] = ours[name].recall
        figures[f"rouge_score_{name}"] = published[name].fmeasure
    for metric in FURTHER:
        figures[metric.name] = metric.function(reference, text)
    return figures


def row_scores(example: Example, text: str) -> dict[str, float]:
    """Return all scores of an answer to an example; none where it is plain text, never asked."""
    return answer_scores(example.completion, text) if example.prompt else {}


def repetition(text: str) -> float:
    """Return the share of runs of four words that the text had before, 0 to 1."""
    words = text.lower().split()
    grams = [tuple(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def scored(system: str, example: Example, answer: Generation, loss: Loss | None = None) -> Answer:
    """Return the record of one answer."""
    return Answer(
        system=system,
        triple=example.triple,
        paper=example.paper,
        kind=example.kind,
        text=answer.text,
        tokens=answer.tokens,
        stopped=answer.stopped,
        scores=row_scores(example, answer.text),
        repetition=repetition(answer.text),
        loss=loss.total if loss else None,
        reference_tokens=loss.tokens if loss else 0,
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean, rounded once."""
    return math.fsum(values) / len(values)


def system_scores(name: str, answers: Sequence[Answer]) -> SystemScores:
    """Return the means of one system."""
    means = {}
    for key in answers[0].scores:
        means[key] = mean([answer.scores[key] for answer in answers])
    tokens = sum(answer.reference_tokens for answer in answers)
    losses = [answer.loss for answer in answers if answer.loss is not None]
    stopped = mean([float(answer.stopped) for answer in answers])
    return SystemScores(
        name=name,
        examples=len(answers),
        rouge1=means["rouge1"],
        rouge2=means["rouge2"],
        rougeL=means["rougeL"],
        precision=_by_metric(means, "{}_precision"),
        recall=_by_metric(means, "{}_recall"),
        rouge_score=_by_metric(means, "rouge_score_{}"),
        metrics={metric.name: means[metric.name] for metric in FURTHER},
        words=mean([float(len(answer.text.split())) for answer in answers]),
        repetition=mean([answer.repetition for answer in answers]),
        stopped=stopped if name in MODELS else None,
        loss=math.fsum(losses) / tokens if tokens else None,
    )


def _by_metric(means: Mapping[str, float], name: str) -> dict[str, float]:
    return {metric: means[name.format(metric)] for metric in METRICS}


def compare_all(
    rules: Rules, level: float, answers: Mapping[str, Sequence[Answer]]
) -> list[Comparison]:
    """Compare tuned with every other system, if there are two papers or more."""
    tuned = answers.get(TUNED, [])
    papers = [answer.paper for answer in tuned]
    found: list[Comparison] = []
    if len(set(papers)) < 2:
        return found
    for name, system in answers.items():
        if name == TUNED:
            continue
        pair = compare(
            name,
            gains(tuned, system, rules.metric),
            papers,
            confidence=rules.confidence,
            level=level,
            resamples=rules.resamples,
            seed=rules.seed,
        )
        found.append(pair)
    return found


def gains(tuned: Sequence[Answer], other: Sequence[Answer], metric: str) -> list[float]:
    """Return tuned - other for each example."""
    pairs = zip(tuned, other, strict=True)
    return [mine.scores[metric] - theirs.scores[metric] for mine, theirs in pairs]


def breakdown(rules: Rules, answers: Mapping[str, Sequence[Answer]], field: str) -> list[Group]:
    """Return base and tuned for each kind or paper (`field`), the smallest gain first."""
    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for base, tuned in zip(answers.get(BASE, []), answers.get(TUNED, []), strict=True):
        groups[getattr(base, field)].append((base.scores[rules.metric], tuned.scores[rules.metric]))
    found = []
    for name, pairs in groups.items():
        base_mean, tuned_mean = (mean(scores) for scores in zip(*pairs, strict=True))
        gain = tuned_mean - base_mean
        found.append(
            Group(name=name, examples=len(pairs), base=base_mean, tuned=tuned_mean, gain=gain)
        )
    return sorted(found, key=lambda group: (group.gain, group.name))
