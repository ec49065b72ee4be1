"""Curate: triples -> train, test."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.curate import gates
from components.curate.card import Card, write_cards
from components.curate.config import CurateConfig
from components.curate.dedup import near_duplicates, same_task
from components.curate.export import notice, write_side
from components.curate.leakage import overlaps
from components.curate.reader import UNNAMED, Material, read_material, tidy
from components.curate.shingles import words
from components.curate.split import RELATIVE, TEST, TRAIN, Relatives, age, find_relatives, sides
from components.shared.ledger import Ledger
from components.shared.licences import Obligation, Ruling, model_licence, paper_licence, ruling
from components.shared.progress import say
from components.shared.records import (
    Source,
    Triple,
    dataset_digest,
    write_atomically,
    write_records,
)

LEAK = "shares 8-grams with train"


def curate(
    config: CurateConfig, triples: Path, train: Path, test: Path, card: Path, card_markdown: Path
) -> dict[str, Any]:
    """Pass triples through the gates and split what is left by paper; every reject has its reason.

    `triples` is what generate wrote, or a file (or folder of files) of one's own in JSON or JSONL.
    """
    ledger = Ledger("curate", "triples")
    run = _Run(config, ledger, read_material(triples, ledger, config.own_teacher))
    for line in run.material.understood:
        say("curate", line)
    if marked := tidy(run.material):
        say("curate", f"marks of a chat template taken off the ends of {marked} rows")
    passed = run.through_gates()
    relatives = find_relatives(
        run.papers(passed), passed
    )  # before their common triples are dropped as duplicates
    split, overlapping = run.split(run.without_duplicates(passed), relatives)
    examples = {}
    for folder, side in ((train, split[TRAIN]), (test, split[TEST])):
        examples[folder] = write_side(folder, side, run.sources_of(side))
    duties = run.obligations(split[TRAIN])
    write_records(train / "obligations.jsonl", duties)
    write_atomically(train / "NOTICE", notice(run.sources_of(split[TRAIN]), duties))
    ledger.keep(len(split[TRAIN]) + len(split[TEST]))
    ledger.facts |= run.facts(split, overlapping)
    ledger.facts |= {"dataset digest": dataset_digest(examples[train], examples[test])}
    ledger.write(test, triples)
    write_cards(Card(config, ledger, split, duties), card, card_markdown)
    say(
        "curate",
        f"{len(split[TRAIN])} to train on, {len(split[TEST])} to test on, {len(ledger.rejects)} dropped",
    )
    return ledger.write(train, triples)


@dataclass
class _Run:
    """One pass over the data: what was read, and the ledger of what was dropped."""

    config: CurateConfig
    ledger: Ledger
    material: Material

    def through_gates(self) -> list[Triple]:
        """Return the triples that pass licence and quality gates, those of the oldest papers first."""
        examples = gates.prompt_examples(self.material.triples)
        passed = []
        for triple in sorted(
            self.material.triples, key=lambda t: (age(self.material.source(t)), t.id)
        ):
            reason = self.ruling(triple).reason or gates.fault(self.config, triple)
            if not reason and triple.id in examples:
                reason = gates.EXAMPLE_GATE
            if reason:
                self.drop(triple, reason)
            else:
                passed.append(triple)
        return passed

    def without_duplicates(self, triples: Sequence[Triple]) -> list[Triple]:
        """Return the triples without exact and near duplicates; of equals the one of the oldest paper is kept."""
        first: dict[tuple[tuple[str, ...], ...], Triple] = {}
        for triple in triples:
            content = tuple(
                tuple(words(text)) for text in (triple.instruction, triple.input, triple.output)
            )
            if first.setdefault(content, triple) is not triple:
                self.drop(triple, "duplicate", f"of {first[content].id}")
        kept = list(first.values())
        near = near_duplicates(
            [f"{triple.instruction} {triple.input} {triple.output}" for triple in kept],
            self.config.near_duplicate,
            lambda earlier, later: same_task(kept[earlier], kept[later]),
        )
        for later, earlier in sorted(near.items()):
            self.drop(kept[later], "near duplicate", f"of {kept[earlier].id}")
        return [triple for place, triple in enumerate(kept) if place not in near]

    def papers(self, triples: Iterable[Triple]) -> dict[str, Source]:
        """Return the papers of the triples, each in its first version."""
        found: dict[str, Source] = {}
        for triple in sorted(triples, key=lambda t: t.version):
            found.setdefault(triple.paper, self.material.source(triple))
        return found

    def split(
        self, triples: Sequence[Triple], relatives: Relatives
    ) -> tuple[dict[str, list[Triple]], int]:
        """Return the triples of each side by id, and how many test rows overlapped with train."""
        chosen = sides(self.config, self.papers(triples), relatives)
        found: dict[str, list[Triple]] = {TRAIN: [], TEST: []}
        for triple in sorted(triples, key=lambda t: t.id):
            side = chosen[triple.paper]
            if side in found:
                found[side].append(triple)
            else:
                kin = ", ".join(sorted(relatives.of.get(triple.paper, ())))
                self.drop(triple, side, f"kin: {kin}" if side == RELATIVE else "")
        shares = overlaps(found[TRAIN], found[TEST]).tolist()
        for triple, share in zip(found[TEST], shares, strict=True):
            if share > self.config.max_overlap:
                self.drop(triple, LEAK, f"{share:.0%} of them")
        clean = [
            t
            for t, share in zip(found[TEST], shares, strict=True)
            if share <= self.config.max_overlap
        ]
        return {TRAIN: found[TRAIN], TEST: clean}, sum(share > 0 for share in shares)

    def drop(self, triple: Triple, reason: str, detail: str = "") -> None:
        named = triple.page and not triple.paper.startswith(UNNAMED)
        place = f"{triple.paper}, page {triple.page}" if named else self.material.where[triple.id]
        self.ledger.drop(
            triple.id,
            reason,
            "; ".join(filter(None, (detail, f"{place}: {triple.instruction[:200]}"))),
        )

    def ruling(self, triple: Triple) -> Ruling:
        """Return what the firewall says about a triple."""
        return ruling(
            self.material.source(triple).licence,
            triple.teacher_licence,
            model_licence(self.config.base_model),
            self.config.allowed,
        )

    def obligations(self, triples: Iterable[Triple]) -> list[Obligation]:
        """Return each duty that the triples bring along once, in a fixed order."""
        duties = {
            (duty.due_to, duty.kind): duty
            for triple in triples
            for duty in self.ruling(triple).obligations
        }
        return [duties[key] for key in sorted(duties)]

    def sources_of(self, triples: Iterable[Triple]) -> list[Source]:
        """Return the papers of the triples, each version once."""
        found = {(triple.paper, triple.version): self.material.source(triple) for triple in triples}
        return [found[key] for key in sorted(found)]

    def facts(self, split: dict[str, list[Triple]], overlapping: int) -> dict[str, Any]:
        """Return what the card and the report tell of the data."""
        both = [*split[TRAIN], *split[TEST]]
        papers = {
            f"{side} papers": len({triple.paper for triple in split[side]})
            for side in (TRAIN, TEST)
        }
        licences = Counter(paper_licence(source.licence) for source in self.sources_of(both))
        return {
            "train": len(split[TRAIN]),
            "test": len(split[TEST]),
            **papers,
            "licences": dict(sorted(licences.items())),
            "allowed licences": sorted(self.config.allowed),
            "kinds": dict(sorted(Counter(triple.kind for triple in both).items())),
            "test rows overlapping with train before the leak gate": overlapping,
            "rows that name no paper": sum(triple.paper.startswith(UNNAMED) for triple in both),
            "rows without a page to be grounded in": sum(not triple.page for triple in both),
        }
