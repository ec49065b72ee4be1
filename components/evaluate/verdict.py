"""The verdict: one of six words, computed by rules that were written before any run.

All here is a function of what is stored, so that `arxtune verify` can compute it again.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.evaluate.budget import Look
from components.evaluate.currency import Answers, figures, findings, forgotten
from components.evaluate.scoring import breakdown, compare_all, system_scores
from components.evaluate.statistics import Spread, planned_gain
from components.shared.feasibility import VerdictNeeds
from components.shared.records import Example, is_unnamed
from components.shared.verdict import (
    BASE,
    BETTER,
    CHAMPION,
    COPYING,
    FORGETS,
    MODELS,
    NO_EVIDENCE,
    TOO_LITTLE,
    TUNED,
    WORSE,
    Comparison,
    Figure,
    Rules,
    SystemScores,
    Verdict,
    title,
)

MEANING = {
    BETTER: "the tuned model beats the base, every trivial baseline and the current release",
    COPYING: "it beats the base, but some trivial baseline does as well, or scores higher by any "
    "metric, without a model",
    NO_EVIDENCE: "its difference from the base, or the current release, is within what a year of "
    "runs shows by chance",
    WORSE: "the interval of its difference from the base lies below zero",
    FORGETS: "it beats all of those, but its loss on the references is worse than the base’s, or "
    "general text has become harder for it than the margin allows",
    TOO_LITTLE: "nothing was trained, or there are too few test examples or test papers",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the verdict rests on beside the answers; see Verdict for the fields."""

    run: str = ""
    at: str = ""
    base: str
    adapter_digest: str
    dataset_digest: str
    trained: bool
    knows: bool = True
    cutoff: str = ""
    older: list[str] = field(default_factory=list)
    examples: int
    papers: int
    unnamed: int = 0
    spent_before: list[float] = field(default_factory=list)
    level: float
    expected_spread: dict[str, float]
    planned_gain: float | None = None
    champion: dict[str, Any] | None = None
    left_out: int = 0
    notes: list[str] = field(default_factory=list)


def known_before(examples: Sequence[Example], look: Look, spread: Spread) -> dict[str, Any]:
    """Return the fields of the case that are known before any answer."""
    sizes = Counter(example.paper for example in examples)
    planned = None
    if len(sizes) > 1:
        planned = planned_gain(list(sizes.values()), look.level, spread)
    return {
        "examples": len(examples),
        "papers": len(sizes),
        "unnamed": sum(map(is_unnamed, sizes)),
        "spent_before": list(look.before),
        "level": look.level,
        "expected_spread": {"deviation": spread.deviation, "shared": spread.shared},
        "planned_gain": planned,
    }


def judge(rules: Rules, case: Case, answers: Answers, probes: Answers) -> Verdict:
    """Return the verdict on these answers, by system, in the order of examples and of probes."""
    currency = figures(rules, answers, probes)
    comparisons = compare_all(rules, case.level, answers)
    systems = [system_scores(name, system) for name, system in answers.items()]
    word, reason = decide(rules, case, comparisons, systems, currency)
    return Verdict(
        word=word,
        reason=reason,
        **vars(case),
        rules=rules,
        systems=systems,
        comparisons=comparisons,
        currency=currency,
        kinds=breakdown(rules, answers, "kind"),
        by_paper=breakdown(rules, answers, "paper"),
    )


def decide(
    rules: Rules,
    case: Case,
    comparisons: Sequence[Comparison],
    systems: Sequence[SystemScores],
    currency: Sequence[Figure] = (),
) -> tuple[str, str]:
    """Return the word and its reason; a gain counts only with a floor above zero."""
    if not case.trained:
        return TOO_LITTLE, "no model was trained, so there is nothing to judge"
    needs = VerdictNeeds(rules.min_test_papers, rules.min_test_examples)
    if missing := needs.missing(case.papers, case.examples):
        return TOO_LITTLE, f"{missing}; {_what_gives_more(needs, case)}"
    found = {comparison.other: comparison for comparison in comparisons}
    base, champion = found[BASE], found.get(CHAMPION)
    if base.high < 0:
        return WORSE, f"the tuned model scores below its own base: {shown(base)}"
    if base.floor <= 0:
        problem = "the tuned model is not shown to beat its own base"
        return NO_EVIDENCE, f"{problem}: {shown(base)}{_nearly(base)}"
    if baseline := _unbeaten_baseline(comparisons, systems):
        return COPYING, f"the tuned model beats its base, but {baseline}"
    if champion and champion.floor <= 0:
        problem = "the tuned model is not shown to beat the current release"
        return NO_EVIDENCE, f"{problem}: {shown(champion)}{_nearly(champion)}"
    beaten = "its base and every trivial baseline"
    if champion:
        beaten = "its base, every trivial baseline and the current release"
    if case.knows and (lost := forgotten(rules, currency)):
        return FORGETS, f"the tuned model beats {beaten}, but {lost}"
    return BETTER, f"the tuned model beats {beaten}: {shown(base)} over the base"


def _what_gives_more(needs: VerdictNeeds, case: Case) -> str:
    """Say what a test set lacks, and which settings give it."""
    papers = max(needs.test_papers - case.papers, 0)
    if not papers:
        rows = needs.test_examples - case.examples
        return f"{rows} more rows would do: more pages a paper, or more papers by --max-papers"
    more = math.ceil(papers / needs.test_fraction)
    return (
        f"about {more} more papers of an allowed licence would do: raise --max-papers, set an "
        "earlier --published-after or name more licences by --allow-licences"
    )


def _nearly(comparison: Comparison) -> str:
    """Say why an interval above zero is not enough."""
    if comparison.low <= 0:
        return ""
    return (
        "; convincing once, but with this run's share of the year's error it reaches down to "
        f"{comparison.floor:+.3f}"
    )


def _unbeaten_baseline(comparisons: Sequence[Comparison], systems: Sequence[SystemScores]) -> str:
    """Say which baseline is not beaten, or scores higher by any metric; else nothing."""
    unbeaten = [pair for pair in comparisons if pair.other not in MODELS and pair.floor <= 0]
    if unbeaten:
        worst = min(unbeaten, key=lambda pair: pair.difference)
        return f"is not shown to beat the {title(worst.other)}: {shown(worst)}{_nearly(worst)}"
    figures = {system.name: _all_figures(system) for system in systems}
    for baseline in systems:
        if not baseline.is_baseline:
            continue
        for metric, mine in figures[TUNED].items():
            theirs = figures[baseline.name][metric]
            if mine < theirs:
                name = title(baseline.name)
                return f"the {name} scores higher by {metric}: {theirs:.3f} against {mine:.3f}"
    return ""


def _all_figures(system: SystemScores) -> dict[str, float]:
    figures = {"ROUGE-1": system.rouge1, "ROUGE-2": system.rouge2, "ROUGE-L": system.rougeL}
    for name, value in system.rouge_score.items():
        figures[f"{name} with rouge-score's tokenizer"] = value
    return figures


def shown(comparison: Comparison) -> str:
    """Return a difference with its interval, for a sentence."""
    return f"ROUGE-L {comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"


def table(verdict: Verdict) -> str:
    """Return the verdict and its main figures as a short text, for the end of a run."""
    lines = [f"verdict: {verdict.word}", f"  {verdict.reason}"]
    lines += [f"  {found.title}: {found.word}" for found in findings(verdict)]
    lines += [f"  {note}" for note in verdict.notes]
    best = verdict.best_baseline
    rows = [system for system in verdict.systems if not system.is_baseline or system is best]
    if not rows:
        return "\n".join(lines)
    titles = {row.name: row.name for row in rows}
    if best:
        titles[best.name] = f"best baseline: {title(best.name).removesuffix(' baseline')}"
    width = max(map(len, titles.values()))
    head = "ROUGE-1  ROUGE-2  ROUGE-L   words   tuned - this (ROUGE-L)"
    lines += ["", f"  {'':<{width}}  {head}"]
    for row in rows:
        figures = f"{row.rouge1:7.3f}  {row.rouge2:7.3f}  {row.rougeL:7.3f}  {row.words:6.1f}"
        pair = verdict.against(row.name)
        gap = f"   {pair.difference:+.3f} [{pair.low:+.3f}, {pair.high:+.3f}]" if pair else ""
        lines.append(f"  {titles[row.name]:<{width}}  {figures}{gap}")
    return "\n".join(lines)
