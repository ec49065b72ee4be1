"""Curate: triples -> train, test."""

from collections import Counter
from pathlib import Path
from typing import Any

from components.curate.config import CurateConfig
from components.curate.licence import licence_name
from components.curate.split import choose_test_papers
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example, Source, Triple, dataset_digest, read_records, write_records


def curate(config: CurateConfig, triples: Path, train: Path, test: Path) -> dict[str, Any]:
    """Pass triples through the gates and split what is left by paper; every reject has its reason."""
    found = sorted(read_records(triples / "triples.jsonl", Triple), key=lambda triple: triple.id)
    sources = {source.paper: source for source in read_records(triples / "sources.jsonl", Source)}
    ledger = Ledger("curate", "triples")
    kept: list[Triple] = []
    seen: set[str] = set()
    for triple in found:
        if reason := _fault(config, triple, sources[triple.paper], seen):
            ledger.drop(triple.id, reason, f"{triple.paper}, page {triple.page}: {triple.instruction[:200]}")
        else:
            kept.append(triple)
            ledger.keep()
    held_out = choose_test_papers((triple.paper for triple in kept), config.test_fraction, config.seed)
    sides: dict[Path, list[Triple]] = {train: [], test: []}
    for triple in kept:
        sides[test if triple.paper in held_out else train].append(triple)
    for folder, side in sides.items():
        write_records(folder / "examples.jsonl", map(_example, side))
        write_records(folder / "sources.jsonl", (sources[paper] for paper in sorted({t.paper for t in side})))
    ledger.facts |= _facts(config, sides[train], sides[test], sources)
    ledger.facts |= {"dataset digest": dataset_digest(*(map(_example, side) for side in sides.values()))}
    say("curate", f"{len(sides[train])} to train on, {len(sides[test])} to test on, {len(ledger.rejects)} dropped")
    ledger.write(test, triples)
    return ledger.write(train, triples)


def _fault(config: CurateConfig, triple: Triple, source: Source, seen: set[str]) -> str:
    """Return the first gate that a triple does not pass, or nothing."""
    licence = licence_name(source.licence)
    words = " ".join((triple.instruction, triple.input, triple.output)).lower().split()
    content = " ".join(words)
    if licence not in config.allowed:
        return f"licence not allowed: {licence}"
    if triple.grounding < config.min_grounding:
        return "output not grounded in its evidence"
    if _plain(triple.output) in ("", _plain(triple.input)):
        return "output is empty or equals the input"
    if len(words) > config.max_words:
        return "too long"
    if content in seen:
        return "duplicate"
    seen.add(content)
    return ""


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _example(triple: Triple) -> Example:
    return Example(
        triple=triple.id,
        paper=triple.paper,
        kind=triple.kind,
        instruction=triple.instruction,
        input=triple.input,
        prompt=render_prompt(triple.instruction, triple.input),
        completion=render_completion(triple.output),
    )


def _facts(config: CurateConfig, train: list[Triple], test: list[Triple], sources: dict[str, Source]) -> dict[str, Any]:
    papers = {"train papers": {t.paper for t in train}, "test papers": {t.paper for t in test}}
    licences = Counter(licence_name(sources[paper].licence) for side in papers.values() for paper in side)
    return {
        "train": len(train),
        "test": len(test),
        **{name: len(side) for name, side in papers.items()},
        "licences": dict(sorted(licences.items())),
        "allowed licences": sorted(config.allowed),
        "kinds": dict(sorted(Counter(triple.kind for triple in (*train, *test)).items())),
    }
