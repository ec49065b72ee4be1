"""Curate: triples -> train, test.

train/examples.jsonl    rows of training papers
train/texts.jsonl       the passages of these papers, as plain text
test/examples.jsonl     rows of papers that nobody trains on
test/learned.jsonl      closed-book rows of training papers, about facts that no training row
                        asks for: whoever answers them has learned from the papers
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

from components.curate.card import Card, write_cards
from components.curate.config import CurateConfig
from components.curate.export import example, notice, shown, write_side, write_texts
from components.curate.gates import Gate, fault
from components.curate.ngrams import near_duplicates, overlaps, same_task, words
from components.curate.reader import Material, read_material, tidy
from components.curate.split import (
    LEARNED,
    TEST,
    TRAIN,
    Relatives,
    age,
    find_relatives,
    is_held_out,
    same_fact,
    side_of,
    sides,
)
from components.shared import corpus
from components.shared.bases import base_terms, is_folder
from components.shared.feasibility import TooLittleData
from components.shared.ledger import Ledger
from components.shared.licences import (
    UNKNOWN,
    Obligation,
    Ruling,
    model_licence,
    paper_licence,
    ruling,
)
from components.shared.progress import say
from components.shared.records import (
    CLOSED,
    Source,
    Triple,
    dataset_digest,
    is_unnamed,
    write_atomically,
    write_records,
)
from components.shared.store import Store, open_store

_ID = attrgetter("id")


def curate(
    config: CurateConfig, triples: Path, train: Path, test: Path, card: Path, card_markdown: Path
) -> dict[str, Any]:
    """Pass triples through the gates and split what is left by paper; every reject has its reason.

    `triples` is what generate wrote, or a file (or folder of files) of one's own in JSON, JSON
    Lines, CSV or Parquet.
    """
    ledger = Ledger("curate", "triples")
    material = read_material(triples, ledger, config.own_teacher, config.paper_column)
    run = _Run(config, ledger, material)
    for line in material.understood:
        say("curate", line)
    if marked := tidy(material):
        say("curate", f"marks of a chat template taken off the ends of {marked} rows")
    run.join_corpus(triples)
    passed = run.through_gates()
    # Relatives are found before the triples that they have in common are dropped as duplicates.
    relatives = find_relatives(run.papers(passed), passed)
    split = run.split(run.without_duplicates(passed), relatives)
    read = [*split[TRAIN], *split[LEARNED]]  # what a training may read of its papers
    sources = {TRAIN: run.sources_of(read), TEST: run.sources_of(split[TEST])}
    examples = {}
    for folder, name in ((train, TRAIN), (test, TEST)):
        examples[name] = write_side(folder, split[name], sources[name])
    write_records(test / "learned.jsonl", map(example, split[LEARNED]))
    write_texts(train / "texts.jsonl", read)
    duties = run.obligations(read)
    write_records(train / "obligations.jsonl", duties)
    write_atomically(train / "NOTICE", notice(sources[TRAIN], duties))
    ledger.keep(sum(map(len, split.values())))
    ledger.facts |= run.facts(split)
    ledger.facts["dataset digest"] = dataset_digest(examples[TRAIN], examples[TEST])
    ledger.write(test, triples)
    write_cards(Card(config, ledger, split, duties, run.gate_of), card, card_markdown)
    summary = ledger.write(train, triples)
    told = f"{len(split[TRAIN])} to train on, {len(split[TEST])} to test on"
    say("curate", f"{told}, {len(ledger.rejects)} dropped")
    if not ledger.kept and not config.train_anyway:
        problem = f"none of {summary['seen']} triples was kept: nothing to train on"
        reasons = ", ".join(f"{count} {reason}" for reason, count in ledger.dropped.items())
        raise TooLittleData(problem, f"dropped: {reasons or 'none'}; see rejects.jsonl")
    return summary


class _Run:
    """One pass over the data: what was read, and the ledger of what was dropped."""

    def __init__(self, config: CurateConfig, ledger: Ledger, material: Material) -> None:
        self.config, self.ledger, self.material = config, ledger, material
        self.base_terms = _terms_of(config.base_model)
        self.own = material.own or config.own_papers
        self.gate_of = dict.fromkeys(ledger.dropped, Gate.MALFORMED)  # by reason
        self.held: set[str] = set()  # papers that come from the corpus
        self.overlapping = 0  # test rows that shared an 8-gram with train before the leak gate

    def join_corpus(self, folder: Path) -> None:
        """Keep the triples of this run in the store, and add those of the question's other papers.

        A set of one's own is whole: it neither joins the corpus nor is joined with it.
        """
        question = None if self.own else corpus.Question.of(folder)
        if question is None:
            return
        store = open_store(self.config.store)
        corpus.keep(store, question, self.material.sources.values(), self.material.triples)
        mine: dict[str, list[Triple]] = defaultdict(list)
        for triple in self.material.triples:
            mine[triple.paper].append(triple)
        joined: list[Triple] = []
        test_papers = train_rows = 0
        for held in corpus.held_papers(store, question):
            tests = side_of(self.config, held.paper, held.day) == TEST
            found = mine.pop(held.paper, None)
            full = test_papers >= self.config.test_papers
            if not tests:
                full = train_rows >= self.config.corpus_rows
            if full:
                for triple in found or ():
                    self.drop(triple, Gate.BOUND)
                continue
            if found is None:
                found = self._read_held(store, held)
            if tests:
                test_papers += bool(found)
            else:
                train_rows += len(found)
            joined += found
        for found in mine.values():  # their days lie outside the question's
            joined += found
        self.material.triples = joined
        if self.held:
            say("curate", f"{len(self.held)} papers of earlier runs join from the store")

    def _read_held(self, store: Store, held: corpus.Held) -> list[Triple]:
        entry = corpus.read_paper(store, held)
        if entry is None:
            return []
        source, triples = entry
        self.material.sources[source.paper, source.version] = source
        for triple in triples:
            self.material.where[triple.id] = f"corpus, {source.paper}"
        self.held.add(source.paper)
        return triples

    def through_gates(self) -> list[Triple]:
        """Return the triples that pass licence and quality gates, of the oldest papers first."""
        passed = []
        for triple in sorted(self.material.triples, key=self._by_age):
            refused = self.ruling(triple).reason
            gate = Gate.LICENCE if refused else fault(self.config, triple)
            if gate:
                self.drop(triple, gate, reason=refused)
            else:
                passed.append(triple)
        return passed

    def without_duplicates(self, triples: Sequence[Triple]) -> list[Triple]:
        """Return the triples without duplicates; of equals the one of the oldest paper is kept."""
        first: dict[tuple[str, ...], Triple] = {}
        for triple in triples:
            texts = (triple.instruction, triple.input, triple.output)
            content = tuple(" ".join(words(text)) for text in texts)
            if first.setdefault(content, triple) is not triple:
                self.drop(triple, Gate.DUPLICATE, f"of {first[content].id}")
        kept = list(first.values())
        near = near_duplicates(
            [f"{triple.instruction} {triple.input} {triple.output}" for triple in kept],
            self.config.near_duplicate,
            lambda earlier, later: same_task(kept[earlier], kept[later]),
        )
        for later, earlier in sorted(near.items()):
            self.drop(kept[later], Gate.NEAR_DUPLICATE, f"of {kept[earlier].id}")
        return [triple for place, triple in enumerate(kept) if place not in near]

    def papers(self, triples: Iterable[Triple]) -> dict[str, Source]:
        """Return the papers of the triples, each in its first version."""
        found: dict[str, Source] = {}
        for source in self.sources_of(triples):
            found.setdefault(source.paper, source)
        return found

    def split(self, triples: Sequence[Triple], relatives: Relatives) -> dict[str, list[Triple]]:
        """Return the triples of each side by id: no leak, and no more test than its bounds."""
        rows = Counter(triple.paper for triple in triples) if self.own else None
        chosen = sides(self.config, self.papers(triples), relatives, rows)
        found: dict[str, list[Triple]] = {TRAIN: [], TEST: []}
        for triple in sorted(triples, key=_ID):
            side = chosen[triple.paper]
            if side in found:
                found[side].append(triple)
            else:
                kin = ", ".join(sorted(relatives.get(triple.paper, ())))
                self.drop(triple, Gate(side), f"kin: {kin}" if side == Gate.RELATIVE else "")
        clean = []
        shares = overlaps(found[TRAIN], found[TEST])
        for triple, share in zip(found[TEST], shares, strict=True):
            self.overlapping += share > 0
            if share > self.config.max_overlap:
                self.drop(triple, Gate.LEAK, f"{share:.0%} of them")
            else:
                clean.append(triple)
        if self.own:
            testing, training = len(self.papers(clean)), len(self.papers(found[TRAIN]))
            say("curate", f"{testing} papers are held out for the test, {training} train")
        return {**self._facts_apart(found[TRAIN]), TEST: self._bounded(clean)}

    def _facts_apart(self, triples: Sequence[Triple]) -> dict[str, list[Triple]]:
        """Return the rows to train on, and those of facts that no row trained on tells."""
        found: dict[str, list[Triple]] = {TRAIN: [], LEARNED: []}
        held_out: dict[str, list[Triple]] = defaultdict(list)  # by paper
        for triple in triples:
            if is_held_out(self.config, triple):
                held_out[triple.paper].append(triple)
        for triple in triples:  # a row that is held out is the same fact as itself
            same = [held.id for held in held_out[triple.paper] if same_fact(triple, held)]
            if not same:
                found[TRAIN].append(triple)
            elif triple.id not in same:
                self.drop(triple, Gate.HELD_OUT, f"of {same[0]}")
        rows = sorted(chain.from_iterable(held_out.values()), key=_ID)
        shares = overlaps(_told(found[TRAIN]), _told(rows))
        for triple, share in zip(rows, shares, strict=True):
            if share > self.config.max_overlap:
                self.drop(triple, Gate.LEAK, f"{share:.0%} of them")
            else:
                found[LEARNED].append(triple)
        return found

    def _bounded(self, triples: Sequence[Triple]) -> list[Triple]:
        """Return the test rows within the bounds: those of the newest papers first."""
        newest = sorted(triples, key=lambda t: age(self.material.source(t)), reverse=True)
        of_paper: Counter[str] = Counter()
        kept: list[Triple] = []
        for triple in newest:
            of_paper[triple.paper] += 1
            full = of_paper[triple.paper] > self.config.test_rows_per_paper and not self.own
            if full or len(kept) == self.config.test_rows:
                self.drop(triple, Gate.SURPLUS)
            else:
                kept.append(triple)
        return sorted(kept, key=_ID)

    def drop(self, triple: Triple, gate: Gate, detail: str = "", reason: str = "") -> None:
        """Put a triple among the rejects, under its gate or a more special reason."""
        place = self.material.where[triple.id]
        if triple.page and not is_unnamed(triple.paper):
            place = f"{triple.paper}, page {triple.page}"
        told = f"{place}: {triple.instruction[:200]}"
        reason = reason or gate.value
        self.gate_of[reason] = gate
        self.ledger.drop(triple.id, reason, f"{detail}; {told}" if detail else told)

    def ruling(self, triple: Triple) -> Ruling:
        """Return what the firewall says about a triple."""
        licence = self.material.source(triple).licence
        return ruling(licence, triple.teacher_licence, self.base_terms, self.config.allowed)

    def obligations(self, triples: Iterable[Triple]) -> list[Obligation]:
        """Return each duty that the triples bring along once, in a fixed order."""
        duties: dict[tuple[str, str], Obligation] = {}
        for triple in triples:
            for duty in self.ruling(triple).obligations:
                duties[duty.due_to, duty.kind] = duty
        return sorted(duties.values(), key=attrgetter("due_to", "kind"))

    def sources_of(self, triples: Iterable[Triple]) -> list[Source]:
        """Return the papers of the triples, each version once."""
        found: dict[tuple[str, int], Source] = {}
        for triple in triples:
            found[triple.paper, triple.version] = self.material.source(triple)
        return sorted(found.values(), key=attrgetter("paper", "version"))

    def facts(self, split: dict[str, list[Triple]]) -> dict[str, Any]:
        """Return what the card and the report tell of the data."""
        both = [*split[TRAIN], *split[LEARNED], *split[TEST]]
        kinds = Counter(triple.kind for triple in both)
        licences = Counter(paper_licence(source.licence) for source in self.sources_of(both))
        unnamed = [triple.paper for triple in both if is_unnamed(triple.paper)]
        return {
            "train": len(split[TRAIN]),
            "test": len([row for row in split[TEST] if row.kind != CLOSED]),  # a verdict's
            "closed-book rows of test papers": len([t for t in split[TEST] if t.kind == CLOSED]),
            "train papers": len(self.papers(split[TRAIN])),
            "test papers": len(self.papers(split[TEST])),
            "held-out facts of training papers": len(split[LEARNED]),
            "papers of earlier runs": len(self.held),
            "licences": dict(sorted(licences.items())),
            "allowed licences": sorted(self.config.allowed),
            "kinds": dict(sorted(kinds.items())),
            "test rows overlapping with train before the leak gate": self.overlapping,
            "rows that name no paper": len(unnamed),
            "groups of rows that name no paper": len({*unnamed}),
            "rows without a page to be grounded in": len([t for t in both if not t.page]),
        }

    def _by_age(self, triple: Triple) -> tuple[Any, str]:
        return age(self.material.source(triple)), triple.id


def _terms_of(base: str) -> str:
    """Return the terms of the base; a card is asked for only where the name does not tell them."""
    known = model_licence(base)
    return base_terms(base) if known == UNKNOWN or is_folder(base) else known


def _told(triples: Iterable[Triple]) -> list[Triple]:
    """Return the triples with what tells a model their fact: the passage shown, and the answer.

    A closed-book question names its paper in the words of all others about it.
    """
    return [replace(triple, instruction="", input=shown(triple)) for triple in triples]
