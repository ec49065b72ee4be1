"""The verdict: one of five words, computed by rules that were written before any run."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.evaluate.statistics import Comparison
from components.shared.errors import DataError
from components.shared.records import write_atomically

BASE, TUNED, CHAMPION = "base", "tuned", "champion"
MODELS = (BASE, TUNED, CHAMPION)

BETTER = "better"  # the only one that is promoted
COPYING = "better than base, not better than copying"
NO_EVIDENCE = "no evidence"
WORSE = "worse"
TOO_LITTLE = "too little data"

MEANING = {
    BETTER: "the tuned model beats the base, every null system and the last release",
    COPYING: "it beats the base, but some null system does as well, or scores higher by any metric, without a model",
    NO_EVIDENCE: "its difference from the base, or the last release, is within what a year of runs shows by chance",
    WORSE: "the interval of its difference from the base lies below zero",
    TOO_LITTLE: "nothing was trained, or there are too few test examples or test papers",
}


@dataclass(frozen=True, kw_only=True)
class SystemScores:
    """How one system did, as means over all test examples."""

    name: str
    examples: int
    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815  the name that the field and rouge-score use
    precision: dict[str, float]  # by metric
    recall: dict[str, float]
    seed: dict[
        str, float
    ]  # F measures under rouge-score's own tokenizer, as published figures have them
    words: float
    repetition: float  # mean share of runs of four words that the answer had before
    stopped: (
        float | None
    )  # share of answers that ended by themselves; None for a system that is no model
    loss: float | None  # nats a token of the references; None where it is not measured

    @property
    def is_null(self) -> bool:
        """Tell whether the system is no model."""
        return self.name not in MODELS


@dataclass(frozen=True, kw_only=True)
class Group:
    """Base and tuned on the examples of one kind or one paper, as means."""

    name: str
    examples: int
    base: float
    tuned: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the verdict needs, decided before the run."""

    metric: str
    confidence: float
    resamples: int
    seed: int
    year_error: float
    looks_per_year: int
    min_test_examples: int
    min_test_papers: int

    @property
    def level(self) -> float:
        """Return the one-sided error that one look may spend."""
        return self.year_error / self.looks_per_year


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The word, why, and every number that it rests on."""

    word: str
    reason: str
    notes: list[str] = field(default_factory=list)  # facts that a reader of the verdict has to know
    base: str
    adapter_digest: str
    dataset_digest: str  # of train and test, as curate computes it
    champion: dict[str, Any] | None = (
        None  # version and adapter_digest of the release compared with
    )
    trained: bool
    looks_spent: int  # other looks at this release's candidates in the 365 days before
    planned_gain: (
        float | None
    )  # the true gain that this test set should find, said before anything was generated
    examples: int
    papers: int
    rules: Rules
    systems: list[SystemScores]
    comparisons: list[Comparison]
    kinds: list[Group] = field(default_factory=list)
    by_paper: list[Group] = field(default_factory=list)  # the smallest gain first

    def system(self, name: str) -> SystemScores | None:
        """Return the scores of a system, or None when it did not take part."""
        return next((system for system in self.systems if system.name == name), None)

    def against(self, other: str) -> Comparison | None:
        """Return the comparison of tuned with a system, or None when there is none."""
        return next(
            (comparison for comparison in self.comparisons if comparison.other == other), None
        )

    @property
    def best_null(self) -> SystemScores | None:
        """Return the null system with the highest ROUGE-L."""
        return max(
            (s for s in self.systems if s.is_null), key=lambda system: system.rougeL, default=None
        )


def decide(
    rules: Rules,
    comparisons: Sequence[Comparison],
    systems: Sequence[SystemScores],
    *,
    trained: bool,
    examples: int,
    papers: int,
    looks_spent: int,
) -> tuple[str, str]:
    """Return the word and its reason. A gain counts only when the floor of its interval is above zero."""
    if not trained:
        return TOO_LITTLE, "no model was trained, so there is nothing to judge"
    if examples < rules.min_test_examples or papers < rules.min_test_papers:
        return TOO_LITTLE, (
            f"{examples} test examples from {papers} papers; a verdict needs at least "
            f"{rules.min_test_examples} from {rules.min_test_papers}"
        )
    found = {comparison.other: comparison for comparison in comparisons}
    base, champion = found[BASE], found.get(CHAMPION)
    if base.high < 0:
        return WORSE, f"the tuned model scores below its own base: {shown(base)}"
    if base.floor <= 0:
        return (
            NO_EVIDENCE,
            f"the tuned model is not shown to beat its own base: {shown(base)}{_nearly(base)}",
        )
    if null := _unbeaten_null(comparisons, systems):
        return COPYING, f"the tuned model beats its base, but {null}"
    if champion and champion.floor <= 0:
        return (
            NO_EVIDENCE,
            f"the tuned model is not shown to beat the last release: {shown(champion)}{_nearly(champion)}",
        )
    if looks_spent >= rules.looks_per_year:
        return NO_EVIDENCE, (
            f"the error budget is spent: {looks_spent} verdicts on this release in the last 365 days, and "
            f"evaluate.looks_per_year is {rules.looks_per_year}"
        )
    beaten = (
        "its base, every null system and the last release"
        if champion
        else "its base and every null system"
    )
    return BETTER, f"the tuned model beats {beaten}: {shown(base)} over the base"


def _nearly(comparison: Comparison) -> str:
    """Say why an interval above zero is not enough."""
    if comparison.low <= 0:
        return ""
    return f"; convincing once, but with this run's share of the year's error it reaches down to {comparison.floor:+.3f}"


def _unbeaten_null(comparisons: Sequence[Comparison], systems: Sequence[SystemScores]) -> str:
    """Say which null the tuned model is not shown to beat, or which scores higher by any metric; else nothing."""
    open_ones = [pair for pair in comparisons if pair.other not in MODELS and pair.floor <= 0]
    if open_ones:
        worst = min(open_ones, key=lambda pair: pair.difference)
        return f"is not shown to beat '{worst.other}': {shown(worst)}{_nearly(worst)}"
    figures = {system.name: _all_figures(system) for system in systems}
    for null in (system.name for system in systems if system.is_null):
        for metric, mine in figures[TUNED].items():
            if mine < figures[null][metric]:
                return f"'{null}' scores higher by {metric}: {figures[null][metric]:.3f} against {mine:.3f}"
    return ""


def _all_figures(system: SystemScores) -> dict[str, float]:
    ours = {"ROUGE-1": system.rouge1, "ROUGE-2": system.rouge2, "ROUGE-L": system.rougeL}
    return ours | {
        f"{name} with the seed's tokenizer": value for name, value in system.seed.items()
    }


def shown(comparison: Comparison) -> str:
    """Return a difference with its interval, for a sentence."""
    return f"ROUGE-L {comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"


def table(verdict: Verdict) -> str:
    """Return the verdict and its main figures as a short text, for the end of a run."""
    lines = [f"verdict: {verdict.word}", f"  {verdict.reason}"]
    lines += [f"  {note}" for note in verdict.notes]
    best = verdict.best_null
    rows = [system for system in verdict.systems if not system.is_null or system is best]
    if rows:
        titles = {row.name: f"best null: {row.name}" if row.is_null else row.name for row in rows}
        width = max(map(len, titles.values()))
        lines += [
            "",
            f"  {'':<{width}}  ROUGE-1  ROUGE-2  ROUGE-L   words   tuned - this (ROUGE-L)",
        ]
        for row in rows:
            figures = f"{row.rouge1:7.3f}  {row.rouge2:7.3f}  {row.rougeL:7.3f}  {row.words:6.1f}"
            pair = verdict.against(row.name)
            gap = f"   {pair.difference:+.3f} [{pair.low:+.3f}, {pair.high:+.3f}]" if pair else ""
            lines.append(f"  {titles[row.name]:<{width}}  {figures}{gap}")
    return "\n".join(lines)


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write verdict.json."""
    write_atomically(path, verdict_text(verdict))


def verdict_text(verdict: Verdict) -> str:
    """Return the bytes of verdict.json as text."""
    return (
        json.dumps(dataclasses.asdict(verdict), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    )


def read_verdict(path: Path) -> Verdict:
    """Read verdict.json; raise DataError when it is missing or is no verdict."""
    try:
        row: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return Verdict(
            **{
                **row,
                "rules": Rules(**row["rules"]),
                "systems": [SystemScores(**system) for system in row["systems"]],
                "comparisons": [Comparison(**comparison) for comparison in row["comparisons"]],
                **{name: [Group(**group) for group in row[name]] for name in ("kinds", "by_paper")},
            }
        )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "run evaluate first") from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path.name}: not a verdict ({error})", "run evaluate again") from None
