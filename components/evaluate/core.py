"""Evaluate: train + test + adapter -> report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.evaluate import verdict as verdicts
from components.evaluate.answers import (
    Adapter,
    Champion,
    ModelAnswers,
    find_champion,
    model_answers,
    read_adapter,
)
from components.evaluate.budget import take_look
from components.evaluate.config import EvaluateConfig
from components.evaluate.dataset import read_examples
from components.evaluate.generation import Generation, Loss
from components.evaluate.judgement import Case, judge, planned
from components.evaluate.manifest import write_manifest
from components.evaluate.nulls import BASE_CUT, base_cut, null_answers
from components.evaluate.report import Material, write_report
from components.evaluate.rouge import PRIMARY
from components.evaluate.scoring import scored
from components.evaluate.summary import markdown
from components.evaluate.verdict import BASE, TUNED, Rules, Verdict
from components.shared.ledger import Ledger, read_lineage
from components.shared.progress import Progress, say
from components.shared.records import (
    Answer,
    Example,
    Source,
    dataset_digest,
    digest,
    read_records,
    write_atomically,
    write_records,
)
from components.shared.store import Store, open_store


def evaluate(
    config: EvaluateConfig,
    train: Path,
    test: Path,
    adapter: Path,
    evaluation: Path,
    report: Path,
    summary: Path,
) -> dict[str, Any]:
    """Answer every test example with base, tuned, champion and null systems; score them alike and give the verdict."""
    training, examples = read_examples(train), read_examples(test)
    tuned, rules = read_adapter(adapter), rules_of(config)
    ledger = Ledger("evaluate", "test examples")
    case, answers = _answers(config, rules, training, examples, tuned)
    verdict = judge(rules, case, answers)
    say("evaluate", f"verdict: {verdict.word}; {verdict.reason}")
    ledger.keep(len(examples))
    ledger.facts |= _facts(verdict)
    write_records(evaluation / "examples.jsonl", examples)
    write_records(
        evaluation / "answers.jsonl", [answer for system in answers.values() for answer in system]
    )
    verdicts.write_verdict(evaluation / "verdict.json", verdict)
    sources = (
        list(read_records(test / "sources.jsonl", Source))
        if (test / "sources.jsonl").exists()
        else []
    )
    lineage = [*read_lineage(adapter), ledger.summary()]
    write_report(report, Material(config, verdict, examples, answers, sources, tuned, lineage))
    write_atomically(summary, markdown(verdict))
    told = ledger.write(evaluation, adapter)
    write_manifest(
        evaluation,
        {"train": train, "test": test, "adapter": adapter, "report": report, "summary": summary},
    )
    return told


def rules_of(config: EvaluateConfig) -> Rules:
    """Return the rules that the knobs set."""
    return Rules(
        metric=PRIMARY,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
        year_error=config.year_error,
        looks_per_year=config.looks_per_year,
        min_test_examples=config.min_test_examples,
        min_test_papers=config.min_test_papers,
    )


def _answers(
    config: EvaluateConfig,
    rules: Rules,
    training: Sequence[Example],
    examples: Sequence[Example],
    adapter: Adapter,
) -> tuple[Case, dict[str, list[Answer]]]:
    """Return the scored answers of all systems by name, and what else the verdict rests on."""
    papers = len({example.paper for example in examples})
    champion: Champion | None = None
    notes: list[str] = []
    made, spent = ModelAnswers(), 0
    data = dataset_digest(training, examples)
    if gain := planned(rules, len(examples), papers):
        say(
            "evaluate",
            f"{len(examples)} examples of {papers} papers: a true gain of {gain:.3f} should be found",
        )
    if adapter.trained and examples:
        store = open_store(config.store)
        champion, notes = find_champion(store, config.release, adapter)
        if len(examples) >= rules.min_test_examples and papers >= rules.min_test_papers:
            spent = _look(config, store, data, adapter)
        made = model_answers(config, store, examples, adapter, champion)
    case = Case(
        base=adapter.base,
        adapter_digest=adapter.adapter_digest,
        dataset_digest=data,
        trained=adapter.trained,
        examples=len(examples),
        papers=papers,
        champion={"version": champion.version, "adapter_digest": champion.adapter_digest}
        if champion
        else None,
        looks_spent=spent,
        notes=notes,
    )
    return case, _scored(config, training, examples, made) if examples else {}


def _look(config: EvaluateConfig, store: Store, data: str, adapter: Adapter) -> int:
    """Take one look out of the year's budget; whatever could turn out differently by chance makes it another look."""
    chances = [config.max_new_tokens, config.quantisation, config.seed, config.resamples]
    return take_look(store, config.release, digest([data, adapter.adapter_digest, *chances]))


def _scored(
    config: EvaluateConfig,
    training: Sequence[Example],
    examples: Sequence[Example],
    made: ModelAnswers,
) -> dict[str, list[Answer]]:
    """Return the scored answers of model and null systems."""
    tasks = [(example.instruction, example.input) for example in examples]
    texts = null_answers(tasks, [example.completion for example in training], config.seed)
    if made.answers:
        texts[BASE_CUT] = base_cut(
            *([answer.text for answer in made.answers[name]] for name in (BASE, TUNED))
        )
    nulls = {name: [Generation(text, 0, True) for text in system] for name, system in texts.items()}
    progress = Progress("evaluate", "systems scored", len(made.answers) + len(nulls))
    found = {}
    for name, system in {**made.answers, **nulls}.items():
        losses: Sequence[Loss | None] = made.losses.get(name) or [None] * len(examples)
        found[name] = [scored(name, *row) for row in zip(examples, system, losses, strict=True)]
        progress.step(name)
    return found


def _facts(verdict: Verdict) -> dict[str, Any]:
    facts: dict[str, Any] = {"verdict": verdict.word, "test papers": verdict.papers}
    for system in verdict.systems:
        if not system.is_null:
            facts[f"ROUGE-L {system.name}"] = round(system.rougeL, 4)
    if best := verdict.best_null:
        facts |= {"best null": best.name, "ROUGE-L best null": round(best.rougeL, 4)}
    if pair := verdict.against(BASE):
        facts |= {"gain over base": round(pair.difference, 4), "gain, low": round(pair.low, 4)}
        facts |= {
            "gain, high": round(pair.high, 4),
            "gain, lower bound that decides": round(pair.floor, 4),
        }
        facts |= {"detectable gain": round(pair.detectable_deciding, 4)}
    return facts | {"looks spent in 365 days": verdict.looks_spent}
