"""Give a stored verdict again: every file as written, every number recomputed."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.evaluate.baselines import all_baselines
from components.evaluate.budget import Look
from components.evaluate.currency import KEPT, candidates, general_text, older_papers
from components.evaluate.scoring import read_examples, read_sources, repetition, row_scores
from components.evaluate.statistics import Spread
from components.evaluate.verdict import Case, judge, known_before
from components.shared import manifest
from components.shared.errors import DataError
from components.shared.records import CLOSED, Adapter, Answer, Example, dataset_digest, read_records
from components.shared.verdict import Verdict, title

ANSWERS, PROBES, PROBE_ANSWERS = "answers.jsonl", "probes.jsonl", "probe_answers.jsonl"


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
    systems = _by_system(evaluation / ANSWERS)
    stored = Verdict.read(evaluation / "verdict.json")
    _check_answers(ANSWERS, examples, systems)
    count = sum(map(len, systems.values()))
    lines.append(f"{count} answers of {len(systems)} systems score as stored")
    probes, probed = read_examples(evaluation / PROBES), _by_system(evaluation / PROBE_ANSWERS)
    _check_answers(PROBE_ANSWERS, probes, probed)
    lines.append(f"{len(probes)} probes of what was learned and kept score as stored")
    look = Look(stored.rules.year_error, stored.rules.looks_per_year, tuple(stored.spent_before))
    facts = known_before(examples, look, Spread(**stored.expected_spread))
    if places:
        _check_baselines(places, examples, systems, stored)
        _check_probes(places["test"], probes)
        lines.append("trivial baselines answer as stored")
        facts |= _facts_of(places, examples, stored.cutoff)
    _check_verdict(stored, facts, systems, probed, evaluation / "verdict.json")
    lines.append("level and announced gain follow from the test set and the looks before")
    lines.append(f"verdict recomputed: {stored.word}; {stored.reason}")
    return lines


def _by_system(path: Path) -> dict[str, list[Answer]]:
    systems: dict[str, list[Answer]] = {}
    for answer in read_records(path, Answer):
        systems.setdefault(answer.system, []).append(answer)
    return systems


def _check_answers(
    file: str, examples: Sequence[Example], systems: Mapping[str, Sequence[Answer]]
) -> None:
    for name, system in systems.items():
        rows = [(example.triple, example.paper, example.kind) for example in examples]
        if [(answer.triple, answer.paper, answer.kind) for answer in system] != rows:
            raise DataError(f"{file}: {name} does not answer the examples in their order")
        for example, answer in zip(examples, system, strict=True):
            found = row_scores(example, answer.text)
            if found != answer.scores or repetition(answer.text) != answer.repetition:
                raise DataError(
                    f"{file}: the score of {name} on {answer.triple} is not what its text scores"
                )


def _check_probes(test: Path, probes: Sequence[Example]) -> None:
    """Check that the probes are those of the test folder, and the general text is whole."""
    known = {probe.triple: probe for probe in candidates(test)}
    for probe in probes:
        if known.get(probe.triple) != probe:
            raise DataError(f"{PROBES}: {probe.triple} is not what the test folder holds")
    kept = [probe.triple for probe in probes if probe.kind == KEPT]
    if probes and len(kept) != len(general_text()):
        raise DataError(f"{PROBES}: the general text is not whole")


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


def _facts_of(
    places: Mapping[str, Path], examples: Sequence[Example], cutoff: str
) -> dict[str, Any]:
    """Return the facts of the case that data and adapter tell."""
    adapter, bank = Adapter.read(places["adapter"]), read_examples(places["test"])
    return {
        "base": adapter.base,
        "adapter_digest": adapter.adapter_digest,
        "trained": adapter.trained,
        "knows": not adapter.base_path,
        "left_out": len([row for row in bank if row.kind != CLOSED]) - len(examples),
        "older": older_papers(cutoff, examples, read_sources(places["test"])),
    }


def _check_verdict(
    stored: Verdict,
    facts: Mapping[str, Any],
    systems: Mapping[str, Sequence[Answer]],
    probed: Mapping[str, Sequence[Answer]],
    path: Path,
) -> None:
    """Judge again, by `facts` found anew and by the rest of the stored case."""
    told = {field.name: getattr(stored, field.name) for field in dataclasses.fields(Case)}
    found = judge(stored.rules, Case(**{**told, **facts}), systems, probed)
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
