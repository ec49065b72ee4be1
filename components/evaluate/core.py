"""Evaluate: train + test + adapter -> report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.evaluate import verdict as verdicts
from components.evaluate.answers import Adapter, Champion, find_champion, model_answers, read_adapter
from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import Generation
from components.evaluate.nulls import BASE_CUT, base_cut, null_answers
from components.evaluate.report import Material, write_report
from components.evaluate.rouge import METRICS, PRIMARY, score
from components.evaluate.statistics import Comparison, compare
from components.evaluate.verdict import BASE, MODELS, TUNED, Rules, SystemScores, Verdict
from components.shared.ledger import Ledger, read_lineage
from components.shared.progress import Progress, say
from components.shared.records import Answer, Example, Source, dataset_digest, read_records, write_records
from components.shared.store import open_store


def evaluate(
    config: EvaluateConfig, train: Path, test: Path, adapter: Path, evaluation: Path, report: Path
) -> dict[str, Any]:
    """Answer every test example with base, tuned, champion and null systems; score them alike and give the verdict."""
    training = list(read_records(train / "examples.jsonl", Example))
    examples = list(read_records(test / "examples.jsonl", Example))
    tuned = read_adapter(adapter)
    ledger = Ledger("evaluate", "test examples")
    answers, champion, notes = _answers(config, training, examples, tuned)
    verdict = _verdict(config, training, examples, answers, tuned, champion, notes)
    say("evaluate", f"verdict: {verdict.word}; {verdict.reason}")
    ledger.keep(len(examples))
    ledger.facts |= _facts(verdict)
    write_records(evaluation / "answers.jsonl", [answer for system in answers.values() for answer in system])
    verdicts.write_verdict(evaluation / "verdict.json", verdict)
    sources = list(read_records(test / "sources.jsonl", Source)) if (test / "sources.jsonl").exists() else []
    lineage = [*read_lineage(adapter), ledger.summary()]
    write_report(report, Material(config, verdict, examples, answers, sources, tuned, lineage))
    return ledger.write(evaluation, adapter)


def _answers(
    config: EvaluateConfig, training: Sequence[Example], examples: Sequence[Example], adapter: Adapter
) -> tuple[dict[str, list[Answer]], Champion | None, list[str]]:
    """Return the scored answers of all systems by name, the champion and the notes about it."""
    if not examples:
        return {}, None, []
    champion: Champion | None = None
    notes: list[str] = []
    models: dict[str, list[Generation]] = {}
    if adapter.trained:
        store = open_store(config.store)
        champion, notes = find_champion(store, config.release, adapter)
        models = model_answers(config, store, examples, adapter, champion)
    tasks = [(example.instruction, example.input) for example in examples]
    texts = null_answers(tasks, [example.completion for example in training], config.seed)
    if models:
        texts[BASE_CUT] = base_cut(*([answer.text for answer in models[name]] for name in (BASE, TUNED)))
    nulls = {name: [Generation(text, 0, True) for text in system] for name, system in texts.items()}
    progress = Progress("evaluate", "systems scored", len(models) + len(nulls))
    scored = {}
    for name, system in {**models, **nulls}.items():
        scored[name] = [_scored(name, *pair) for pair in zip(examples, system, strict=True)]
        progress.step(name)
    return scored, champion, notes


def _scored(system: str, example: Example, answer: Generation) -> Answer:
    return Answer(
        system=system,
        triple=example.triple,
        paper=example.paper,
        kind=example.kind,
        text=answer.text,
        tokens=answer.tokens,
        stopped=answer.stopped,
        scores=score(example.completion, answer.text),
    )


def _verdict(
    config: EvaluateConfig,
    training: Sequence[Example],
    examples: Sequence[Example],
    answers: Mapping[str, list[Answer]],
    adapter: Adapter,
    champion: Champion | None,
    notes: list[str],
) -> Verdict:
    rules = Rules(
        metric=PRIMARY,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
        min_test_examples=config.min_test_examples,
        min_test_papers=config.min_test_papers,
    )
    comparisons = compare_all(rules, answers)
    counts = {"examples": len(examples), "papers": len({example.paper for example in examples})}
    word, reason = verdicts.decide(rules, comparisons, trained=adapter.trained, **counts)
    return Verdict(
        word=word,
        reason=reason,
        notes=notes,
        base=adapter.base,
        adapter_digest=adapter.adapter_digest,
        dataset_digest=dataset_digest(training, examples),
        champion={"version": champion.version, "adapter_digest": champion.adapter_digest} if champion else None,
        rules=rules,
        systems=[_means(name, system) for name, system in answers.items()],
        comparisons=comparisons,
        **counts,
    )


def compare_all(rules: Rules, answers: Mapping[str, list[Answer]]) -> list[Comparison]:
    """Compare tuned with every other system; nothing when there is no tuned model or fewer than two papers."""
    tuned = answers.get(TUNED, [])
    papers = [answer.paper for answer in tuned]
    if len(set(papers)) < 2:
        return []
    found = []
    for name, system in answers.items():
        if name != TUNED:
            pairs = zip(tuned, system, strict=True)
            gaps = [mine.scores[rules.metric] - theirs.scores[rules.metric] for mine, theirs in pairs]
            found.append(
                compare(name, gaps, papers, confidence=rules.confidence, resamples=rules.resamples, seed=rules.seed)
            )
    return found


def _means(name: str, answers: Sequence[Answer]) -> SystemScores:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return SystemScores(
        name=name,
        examples=len(answers),
        **{metric: mean([answer.scores[metric] for answer in answers]) for metric in METRICS},
        words=mean([float(len(answer.text.split())) for answer in answers]),
        stopped=mean([float(answer.stopped) for answer in answers]) if name in MODELS else None,
    )


def _facts(verdict: Verdict) -> dict[str, Any]:
    facts: dict[str, Any] = {"verdict": verdict.word, "test papers": verdict.papers}
    for system in verdict.systems:
        if not system.is_null:
            facts[f"ROUGE-L {system.name}"] = round(system.rougeL, 4)
    if best := verdict.best_null:
        facts |= {"best null": best.name, "ROUGE-L best null": round(best.rougeL, 4)}
    if pair := verdict.against(BASE):
        facts |= {"gain over base": round(pair.difference, 4), "gain, low": round(pair.low, 4)}
        facts |= {"gain, high": round(pair.high, 4), "detectable gain": round(pair.detectable, 4)}
    return facts
