"""Give a stored verdict again: every file as written, every number recomputed."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.evaluate.baselines import all_baselines
from components.evaluate.budget import Look
from components.evaluate.scoring import answer_scores, read_examples, repetition
from components.evaluate.statistics import Spread
from components.evaluate.verdict import Case, judge, known_before
from components.shared import manifest
from components.shared.errors import DataError
from components.shared.records import Adapter, Answer, Example, dataset_digest, read_records
from components.shared.verdict import Verdict, title


def verify(evaluation: Path, places: Mapping[str, Path]) -> list[str]:
    """Return what was checked, a line each; raise DataError naming the first file or figure that is
    not as it was.

    `places` tells where "train", "test" and "adapter" lie, or is empty for the evaluation alone.
    """
    problems = manifest.problems(evaluation, places)
    if not places:
        outside = ("missing: train/", "missing: test/", "missing: adapter/")
        problems = [problem for problem in problems if not problem.startswith(outside)]
    if problems:
        raise DataError(
            f"{evaluation}: not as evaluate wrote it: {', '.join(problems)}",
            "results derived from it are invalid",
        )
    lines = [f"{len(manifest.hash_files(evaluation))} files are as evaluate wrote them"]
    examples = read_examples(evaluation)
    answers = list(read_records(evaluation / "answers.jsonl", Answer))
    systems: dict[str, list[Answer]] = {}
    for answer in answers:
        systems.setdefault(answer.system, []).append(answer)
    stored = Verdict.read(evaluation / "verdict.json")
    _check_answers(examples, systems)
    lines.append(f"{len(answers)} answers of {len(systems)} systems score as stored")
    look = Look(stored.rules.year_error, stored.rules.looks_per_year, tuple(stored.spent_before))
    facts = known_before(examples, look, Spread(**stored.expected_spread))
    if places:
        _check_baselines(places, examples, systems, stored)
        lines.append("trivial baselines answer as stored")
        facts |= _facts_of(places, len(examples))
    _check_verdict(stored, facts, systems, evaluation / "verdict.json")
    lines.append("level and announced gain follow from the test set and the looks before")
    lines.append(f"verdict recomputed: {stored.word}; {stored.reason}")
    return lines


def _check_answers(examples: Sequence[Example], systems: Mapping[str, Sequence[Answer]]) -> None:
    for name, system in systems.items():
        if [answer.triple for answer in system] != [example.triple for example in examples]:
            raise DataError(
                f"answers.jsonl: {name} does not answer the test examples in their order"
            )
        for example, answer in zip(examples, system, strict=True):
            found = answer_scores(example.completion, answer.text)
            if found != answer.scores or repetition(answer.text) != answer.repetition:
                raise DataError(
                    f"answers.jsonl: the score of {name} on {answer.triple} is not what its text "
                    "scores"
                )


def _check_baselines(
    places: Mapping[str, Path],
    examples: Sequence[Example],
    systems: Mapping[str, Sequence[Answer]],
    stored: Verdict,
) -> None:
    training = read_examples(places["train"])
    if dataset_digest(training, read_examples(places["test"])) != stored.dataset_digest:
        raise DataError("verdict.json: dataset_digest is not that of train and test")
    texts = all_baselines(examples, training, systems, stored.rules.seed)
    for name, wanted in texts.items():
        if [answer.text for answer in systems.get(name, [])] != wanted:
            raise DataError(
                f"answers.jsonl: the answers of the {title(name)} differ from the recomputed ones"
            )


def _facts_of(places: Mapping[str, Path], examples: int) -> dict[str, Any]:
    """Return the facts of the case that data and adapter tell."""
    adapter = Adapter.read(places["adapter"])
    return {
        "base": adapter.base,
        "adapter_digest": adapter.adapter_digest,
        "trained": adapter.trained,
        "left_out": len(read_examples(places["test"])) - examples,
    }


def _check_verdict(
    stored: Verdict, facts: Mapping[str, Any], systems: Mapping[str, Sequence[Answer]], path: Path
) -> None:
    """Judge again, by `facts` found anew and by the rest of the stored case."""
    told = {field.name: getattr(stored, field.name) for field in dataclasses.fields(Case)}
    found = judge(stored.rules, Case(**{**told, **facts}), systems)
    if found.text == path.read_text("utf-8"):
        return
    here = next(_differences(dataclasses.asdict(stored), dataclasses.asdict(found)), "its layout")
    raise DataError(f"{path.name}: not what the answers give: {here}")


def _differences(stored: Any, found: Any, where: str = "") -> Iterator[str]:
    """Yield where two JSON values differ."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for name in sorted(stored.keys() | found.keys()):
            yield from _differences(stored.get(name), found.get(name), f"{where}.{name}".strip("."))
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for number, pair in enumerate(zip(stored, found, strict=True)):
            yield from _differences(*pair, where=f"{where}[{number}]")
    elif stored != found:
        yield f"{where} is {stored!r}, recomputed {found!r}"
