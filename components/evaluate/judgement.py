"""From scored answers to the verdict: a function of what is stored, so that it can be given again from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.evaluate import verdict as verdicts
from components.evaluate.scoring import breakdown, compare_all, system_scores
from components.evaluate.statistics import planned_gain
from components.evaluate.verdict import Rules, Verdict
from components.shared.records import Answer


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the verdict rests on beside the answers."""

    base: str
    adapter_digest: str
    dataset_digest: str
    trained: bool
    examples: int
    papers: int
    champion: dict[str, Any] | None = None
    looks_spent: int = 0
    notes: list[str] = field(default_factory=list)


def judge(rules: Rules, case: Case, answers: Mapping[str, Sequence[Answer]]) -> Verdict:
    """Return the verdict on these answers, by system, each system's in the order of the examples."""
    comparisons = compare_all(rules, answers)
    systems = [system_scores(name, system) for name, system in answers.items()]
    word, reason = verdicts.decide(
        rules,
        comparisons,
        systems,
        trained=case.trained,
        examples=case.examples,
        papers=case.papers,
        looks_spent=case.looks_spent,
    )
    return Verdict(
        word=word,
        reason=reason,
        **vars(case),
        planned_gain=planned(rules, case.examples, case.papers),
        rules=rules,
        systems=systems,
        comparisons=comparisons,
        kinds=breakdown(rules, answers, "kind"),
        by_paper=breakdown(rules, answers, "paper"),
    )


def planned(rules: Rules, examples: int, papers: int) -> float | None:
    """Return the true gain that this test set should find within the year's budget; None for fewer than two papers."""
    return planned_gain(examples, papers, rules.level) if papers > 1 else None


def by_system(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Return answers by system, in the order they are stored."""
    systems: dict[str, list[Answer]] = {}
    for answer in answers:
        systems.setdefault(answer.system, []).append(answer)
    return systems
