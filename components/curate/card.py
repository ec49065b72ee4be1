"""The data card, for a person: what went through which gate, what is left and what it is like."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.curate.config import CurateConfig
from components.curate.gates import Gate, triple_tokens
from components.curate.ngrams import SHARED, overlaps
from components.curate.split import TEST, TRAIN
from components.shared.ledger import Ledger
from components.shared.licences import Obligation
from components.shared.records import Triple, write_atomically
from components.shared.text import escaped

SHOWN = 3  # examples of each side
BINS = (32, 64, 128, 256, 512, 1024, 2048)  # tokens; the last bin is open

Row = Sequence[object]


@dataclass(frozen=True)
class Section:
    """A part of the card: sentences, then a table with its head."""

    title: str
    sentences: Sequence[str] = ()
    head: Row = ()
    rows: Sequence[Row] = ()


@dataclass(frozen=True)
class Card:
    """What the card is made of."""

    config: CurateConfig
    ledger: Ledger
    split: dict[str, list[Triple]]
    obligations: Sequence[Obligation]
    gate_of: Mapping[str, Gate]  # by reason

    def sections(self) -> list[Section]:
        """Return the card's parts in their order."""
        facts, kept, dropped = self.ledger.facts, self.ledger.kept, len(self.ledger.rejects)
        duties = [(duty.due_to, duty.text, duty.value, duty.source) for duty in self.obligations]
        return [
            Section(
                "Rows",
                [f"{kept + dropped} rows in = {kept} kept + {dropped} dropped."],
                ("", "train", "test"),
                [
                    ("rows", facts["train"], facts["test"]),
                    ("papers", facts["train papers"], facts["test papers"]),
                ],
            ),
            Section(
                "Through the gates",
                ["A row is counted under the first gate that stops it; all are in rejects.jsonl."],
                ("gate", "dropped", "left", "for example"),
                [
                    ("read", "", kept + dropped, ""),
                    *self._gates(kept + dropped),
                    ("kept", dropped, kept, ""),
                ],
            ),
            Section("Split and leaks", list(self._split())),
            Section("Lengths", [], ("estimated tokens", "train", "test"), list(self._lengths())),
            Section("Kinds of tasks", [], ("kind", "rows"), list(facts["kinds"].items())),
            Section(
                "Licences of the papers",
                [f"Let in: {', '.join(facts['allowed licences'])}."],
                ("licence", "papers"),
                list(facts["licences"].items()),
            ),
            Section(
                "Duties",
                [f"What licences and terms ask of {self.config.base_model} trained on this."],
                ("due to", "duty", "exact words", "source"),
                duties,
            ),
            Section("Examples", [], ("", "", "instruction", "input", "output"), self._examples()),
        ]

    def _gates(self, left: int) -> Iterator[Row]:
        """Yield each gate that stopped something, in their order, and the rows left behind it."""
        order, dropped = list(Gate), self.ledger.dropped
        examples: dict[str, str] = {}
        for reject in self.ledger.rejects:
            examples.setdefault(reject["reason"], reject["detail"] or reject["item"])
        for reason in sorted(dropped, key=lambda name: (order.index(self.gate_of[name]), name)):
            left -= dropped[reason]
            yield reason, dropped[reason], left, examples[reason]

    def _split(self) -> Iterator[str]:
        """Yield how the sides were chosen, how they overlap, and what is not known of the rows."""
        facts, config = self.ledger.facts, self.config
        if config.test_after:
            days = f"the {config.embargo_days} days before it left out"
            yield f"Split by time: test from {config.test_after} on, {days}."
        else:
            share = f"{config.test_fraction:.0%} of papers to test"
            yield f"Split by paper: {share}, by a hash of seed {config.seed} and id."
        before = facts["test rows overlapping with train before the leak gate"]
        after = sum(map(bool, overlaps(self.split[TRAIN], self.split[TEST])))
        yield f"Before the leak gate {before} test rows shared an {SHARED}-gram with train."
        yield f"Of the {facts['test']} rows kept it is {after}."
        if facts_apart := facts["held-out facts of training papers"]:
            yield (
                f"{facts_apart} closed-book rows of training papers are held out to see what is "
                "learned: no row to train on rests on the same place or shares an 8-gram."
            )
        if held := facts["papers of earlier runs"]:
            yield f"{held} papers come from earlier runs on the same question."
        if unnamed := facts["rows that name no paper"]:
            groups = facts["groups of rows that name no paper"]
            yield (
                f"{unnamed} rows name no paper. They stand in {groups} groups of rows that quote "
                "one passage or share rare words with their neighbours. Groups are not papers: one "
                "paper may stand on both sides, and intervals may be a third too narrow."
            )
        if blind := facts["rows without a page to be grounded in"]:
            yield f"{blind} rows come without the page they rest on: grounding was not checked."

    def _lengths(self) -> Iterator[Row]:
        """Yield the histogram of lengths: of each bin the share of each side's rows."""
        train, test = Counter(map(_bin, self.split[TRAIN])), Counter(map(_bin, self.split[TEST]))
        for place in sorted(train | test):
            name = f"over {BINS[-1]}"
            if place < len(BINS):
                low = BINS[place - 1] if place else 0
                name = f"{low + 1} to {BINS[place]}"
            yield name, _share(train, place), _share(test, place)

    def _examples(self) -> list[Row]:
        rows: list[Row] = []
        for side in (TRAIN, TEST):
            for row in self.split[side][:SHOWN]:
                about = f"{row.kind}, {row.paper}"
                rows.append((side, about, row.instruction, row.input, row.output))
        return rows


def write_cards(card: Card, html: Path, markdown: Path) -> None:
    """Write both forms of the card. Every value that a template prints is text: none is markup."""
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    shelf = Environment(loader=here, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    plain = shelf.overlay(autoescape=False, finalize=_escape)
    sections = card.sections()
    write_atomically(html, shelf.get_template("card.html.j2").render(sections=sections))
    write_atomically(markdown, plain.get_template("card.md.j2").render(sections=sections))


def _bin(triple: Triple) -> int:
    return bisect_left(BINS, triple_tokens(triple))


def _share(counts: Counter[int], place: int) -> str:
    return f"{counts[place] / max(1, counts.total()):.1%}"


def _escape(value: Any) -> Any:
    return escaped(value) if isinstance(value, str) else value
