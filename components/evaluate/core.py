"""Evaluate: train + test + adapter -> report."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.evaluate import currency
from components.evaluate.answers import ModelAnswers, model_answers
from components.evaluate.baselines import all_baselines
from components.evaluate.budget import Look, take_look
from components.evaluate.champion import find_champion, papers_seen
from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import Generation, Loss
from components.evaluate.history import expected_spread, remember
from components.evaluate.report import Material, write_report
from components.evaluate.rouge import PRIMARY
from components.evaluate.scoring import read_examples, read_sources, scored
from components.evaluate.summary import markdown
from components.evaluate.verdict import Case, judge, known_before
from components.shared import manifest, subset
from components.shared.feasibility import VerdictNeeds
from components.shared.ledger import Ledger, read_lineage
from components.shared.progress import Progress, say
from components.shared.records import (
    CLOSED,
    Adapter,
    Answer,
    Example,
    Source,
    dataset_digest,
    digest,
    write_atomically,
    write_records,
)
from components.shared.releases import Release
from components.shared.store import Store, open_store
from components.shared.verdict import BASE, Rules, Verdict

TRAINED_ON = "its paper was trained on"
OLDER = "the base may have read its paper"
OLDER_NOTE = (
    "{} of {} test papers may have been read by the base, whose cutoff is {}: they are marked "
    "below, and --set evaluate.leave_out_older=true leaves them out"
)
UNNAMED_NOTE = (
    "{} of the test papers are only groups of rows that name no paper: one paper may stand on both "
    "sides, and intervals may be a third too narrow; name the column by curate.paper_column"
)


def evaluate(
    config: EvaluateConfig,
    train: Path,
    test: Path,
    adapter: Path,
    evaluation: Path,
    report: Path,
    summary: Path,
) -> dict[str, Any]:
    """Answer all test examples with models and trivial baselines, and give the verdict."""
    ledger = Ledger("evaluate", "test examples")
    training, tuned = read_examples(train), Adapter.read(adapter)
    config, store = config.settled(tuned), open_store(config.store)
    sources = read_sources(test)
    trial = _prepare(config, store, training, read_examples(test), sources, tuned, ledger)
    probes: list[Example] = []
    made = ModelAnswers()
    if tuned.trained and trial.examples:
        probes = _probes(config, test, trial.examples, training, tuned)
        made = model_answers(config, store, trial.examples, adapter, tuned, trial.champion, probes)
    answers = _scored(config, training, trial.examples, made)
    probed = {}
    for name, rows in made.probes.items():
        probed[name] = [scored(name, probes[place], *row) for place, row in enumerate(rows)]
    case = Case(run=run_name(evaluation), at=_now(), **trial.facts)
    verdict = judge(trial.rules, case, answers, probed)
    say("evaluate", f"verdict: {verdict.word}; {verdict.reason}")
    remember(store, config.release, verdict)
    ledger.keep(len(trial.examples))
    ledger.facts |= _facts(verdict)
    write_records(evaluation / "examples.jsonl", trial.examples)
    write_records(evaluation / "answers.jsonl", itertools.chain.from_iterable(answers.values()))
    write_records(evaluation / "probes.jsonl", probes)
    write_records(
        evaluation / "probe_answers.jsonl", itertools.chain.from_iterable(probed.values())
    )
    verdict.write(evaluation / "verdict.json")
    lineage = [*read_lineage(adapter), ledger.summary()]
    examples = trial.examples
    write_report(
        report, Material(config, verdict, examples, answers, sources, adapter, tuned, lineage)
    )
    write_atomically(summary, markdown(verdict))
    told = ledger.write(evaluation, adapter)
    manifest.write(evaluation, {"train": train, "test": test, "adapter": adapter})
    return told


def rules_of(config: EvaluateConfig, look: Look) -> Rules:
    """Return the rules that the knobs set, and those of the look when it was first taken."""
    return Rules(
        metric=PRIMARY,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
        year_error=look.year_error,
        looks_per_year=look.looks_per_year,
        min_test_examples=config.min_test_examples,
        min_test_papers=config.min_test_papers,
        kept_margin=config.kept_margin,
    )


def run_name(evaluation: Path) -> str:
    """Return the run that a folder belongs to, here or on Kubeflow."""
    parts = evaluation.parts
    for marker, after in (("runs", 1), ("artifacts", 2)):
        if marker in parts[: -after - 1]:
            return parts[parts.index(marker) + after]
    return "by hand"


@dataclass(frozen=True)
class _Trial:
    """What is judged, on what, by which rules, and what is known of it before any answer."""

    examples: list[Example]
    champion: Release | None
    rules: Rules
    facts: dict[str, Any]


def _prepare(
    config: EvaluateConfig,
    store: Store,
    training: Sequence[Example],
    bank: Sequence[Example],
    sources: Sequence[Source],
    adapter: Adapter,
    ledger: Ledger,
) -> _Trial:
    """Leave out papers trained on, take a look, and say which gain should be found."""
    champion: Release | None = None
    notes: list[str] = []
    seen = {example.paper for example in training}
    if adapter.trained:
        champion, notes = find_champion(store, config.release, adapter)
        others = [champion] if champion else []
        seen = papers_seen(store, config.release, training, adapter, *others)
    bank_open = [example for example in bank if example.kind != CLOSED]  # what is judged on
    cutoff = config.base_cutoff or adapter.base_cutoff
    reasons = dict.fromkeys(seen, TRAINED_ON)
    if config.leave_out_older:
        reasons = dict.fromkeys(currency.older_papers(cutoff, bank_open, sources), OLDER) | reasons
    examples = _chosen(config, bank_open, reasons, ledger)
    older = currency.older_papers(cutoff, examples, sources)
    data = dataset_digest(training, bank)
    look = _look(config, store, examples, adapter, data)
    spread, known_from = expected_spread(store, config.release, adapter.base)
    known = known_before(examples, look, spread)
    facts = {
        "base": adapter.base,
        "adapter_digest": adapter.adapter_digest,
        "dataset_digest": data,
        "trained": adapter.trained,
        "knows": not adapter.base_path,
        "cutoff": cutoff,
        "older": older,
        "left_out": len(bank_open) - len(examples),
        "notes": notes,
        **known,
    }
    if older:
        notes.append(OLDER_NOTE.format(len(older), known["papers"], cutoff))
    if known["unnamed"]:
        notes.append(UNNAMED_NOTE.format(known["unnamed"]))
    if known["planned_gain"] is not None:
        units = "groups" if known["unnamed"] else "papers"
        gain = f"a true gain of {known['planned_gain']:.3f} should be found, by {known_from}"
        say("evaluate", f"{len(examples)} examples of {known['papers']} {units}: {gain}")
    if champion:
        named = {"version": champion.version, "adapter_digest": champion.adapter_digest}
        facts["champion"] = named
    return _Trial(examples, champion, rules_of(config, look), facts)


def _chosen(
    config: EvaluateConfig, bank: Sequence[Example], reasons: Mapping[str, str], ledger: Ledger
) -> list[Example]:
    """Return the examples to judge on: max_examples at most, and not of papers with `reasons`
    against them."""
    unseen = []
    for example in bank:
        if example.paper in reasons:
            ledger.drop(example.triple, reasons[example.paper], example.paper)
        else:
            unseen.append(example)
    chosen = subset.spread(unseen, max(config.max_examples, 0))
    kept = {id(example) for example in chosen}
    for example in unseen:
        if id(example) not in kept:
            ledger.drop(example.triple, f"beyond max_examples={config.max_examples}", example.paper)
    if len(chosen) < len(unseen):
        fix = "--set evaluate.max_examples=0 takes all"
        say("evaluate", f"testing on {len(chosen)} of {len(unseen)} examples: {fix}")
    return chosen


def _probes(
    config: EvaluateConfig,
    test: Path,
    examples: Sequence[Example],
    training: Sequence[Example],
    adapter: Adapter,
) -> list[Example]:
    """Return what tells how current a model is: of each kind half as many as examples at most."""
    tested = {example.paper for example in examples}
    trained = {example.paper for example in training}.difference(adapter.watched)
    return currency.choose(currency.candidates(test), tested, trained, config.sample)


def _look(
    config: EvaluateConfig,
    store: Store,
    examples: Sequence[Example],
    adapter: Adapter,
    data: str,
) -> Look:
    """Take a look, where there can be a verdict: whatever could turn out differently by chance
    makes it another one."""
    needs = VerdictNeeds(config.min_test_papers, config.min_test_examples)
    papers = {example.paper for example in examples}
    if not adapter.trained or needs.missing(len(papers), len(examples)):
        return Look(config.year_error, config.looks_per_year)
    chances = [
        config.max_new_tokens,
        config.max_examples,
        config.quantisation,
        config.seed,
        config.resamples,
    ]
    name = digest([data, adapter.adapter_digest, *chances])
    return take_look(store, config.release, name, config.year_error, config.looks_per_year)


def _scored(
    config: EvaluateConfig,
    training: Sequence[Example],
    examples: Sequence[Example],
    made: ModelAnswers,
) -> dict[str, list[Answer]]:
    """Return the scored answers of models and trivial baselines, by system."""
    if not examples:
        return {}
    systems = dict(made.answers)
    for name, system in all_baselines(examples, training, made.answers, config.seed).items():
        systems[name] = [Generation(text, 0, True) for text in system]
    progress = Progress("evaluate", "systems scored", len(systems))
    found = {}
    for name, answers in systems.items():
        losses: Sequence[Loss | None] = made.losses.get(name) or [None] * len(examples)
        rows = zip(examples, answers, losses, strict=True)
        found[name] = [scored(name, *row) for row in rows]
        progress.step(name)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _facts(verdict: Verdict) -> dict[str, Any]:
    facts: dict[str, Any] = {"verdict": verdict.word, "test papers": verdict.papers}
    for system in verdict.systems:
        if not system.is_baseline:
            facts[f"ROUGE-L {system.name}"] = round(system.rougeL, 4)
    if best := verdict.best_baseline:
        facts |= {"best baseline": best.name, "ROUGE-L best baseline": round(best.rougeL, 4)}
    if pair := verdict.against(BASE):
        facts["gain over base"] = round(pair.difference, 4)
        facts["gain, low"] = round(pair.low, 4)
        facts["gain, high"] = round(pair.high, 4)
        facts["gain, lower bound that decides"] = round(pair.floor, 4)
        facts["detectable gain"] = round(pair.detectable, 4)
    return facts | {"looks spent in 365 days": verdict.looks_spent}
