"""The data card: what went through which gate, what is left, and what it is like. HTML and Markdown, for a person."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
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
from components.shared.text import clean_line

SHOWN = 3  # examples of each side
BINS = (32, 64, 128, 256, 512, 1024, 2048)  # tokens; the last bin is open
_MARKUP = re.compile(r"[\\`*_{}\[\]()#!|~$@]")


@dataclass(frozen=True)
class Card:
    """What the card is made of."""

    config: CurateConfig
    ledger: Ledger
    split: dict[str, list[Triple]]
    obligations: Sequence[Obligation]
    gate_of: Mapping[str, Gate]  # by reason

    @property
    def seen(self) -> int:
        """Return how many rows came in, unreadable ones too."""
        return self.ledger.kept + len(self.ledger.rejects)

    @property
    def gates(self) -> list[dict[str, Any]]:
        """Return each gate that stopped something, in the order of the gates, and how many rows were left behind it."""
        order = list(Gate)
        dropped = self.ledger.dropped
        left, rows = self.seen, []
        for reason in sorted(
            dropped, key=lambda reason: (order.index(self.gate_of[reason]), reason)
        ):
            left -= dropped[reason]
            example = next(reject for reject in self.ledger.rejects if reject["reason"] == reason)
            told = example["detail"] or example["item"]
            rows.append(
                {"reason": reason, "dropped": dropped[reason], "left": left, "example": told}
            )
        return rows

    @property
    def lengths(self) -> list[tuple[str, float, float]]:
        """Return the histogram of lengths in tokens: of each bin its name and the share of each side's rows."""
        counts = [Counter(map(_bin, self.split[side])) for side in (TRAIN, TEST)]
        train, test = (max(1, count.total()) for count in counts)
        bins = range(len(BINS) + 1)
        rows = [
            (_bin_name(place), counts[0][place] / train, counts[1][place] / test) for place in bins
        ]
        return [row for row in rows if row[1] or row[2]]

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the tables show, and how the test rows overlap with train, measured again on what is kept."""
        shares = overlaps(self.split[TRAIN], self.split[TEST])
        return self.ledger.facts | {"n": SHARED, "overlapping": len([s for s in shares if s > 0])}

    @property
    def split_rule(self) -> str:
        """Return in one sentence how the sides were chosen."""
        config = self.config
        if config.test_after:
            days = config.embargo_days
            return f"by time: test from {config.test_after} on, the {days} days before it left out"
        share = f"{config.test_fraction:.0%} of papers to test"
        return f"by paper: {share}, by a hash of seed {config.seed} and id"

    @property
    def examples(self) -> list[tuple[str, Triple]]:
        """Return a few rows of each side."""
        return [(side, triple) for side in (TRAIN, TEST) for triple in self.split[side][:SHOWN]]


def write_cards(card: Card, html: Path, markdown: Path) -> None:
    """Write both forms of the card. Every value that a template prints is text: none is markup."""
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    shelf = Environment(loader=here, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    shelf.filters["percent"] = "{:.1%}".format
    write_atomically(html, shelf.get_template("card.html.j2").render(card=card, facts=card.facts))
    plain = shelf.overlay(autoescape=False, finalize=_escape)
    write_atomically(markdown, plain.get_template("card.md.j2").render(card=card, facts=card.facts))


def _bin(triple: Triple) -> int:
    tokens = triple_tokens(triple)
    return len([top for top in BINS if tokens > top])


def _bin_name(place: int) -> str:
    low = BINS[place - 1] + 1 if place else 1
    return f"{low} to {BINS[place]}" if place < len(BINS) else f"over {BINS[-1]}"


def _escape(value: object) -> object:
    """Return a value as Markdown shows it, on one line: no cell, link, image, heading or tag comes of it."""
    if not isinstance(value, str):
        return value
    text = _MARKUP.sub(r"\\\g<0>", clean_line(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("://", "&#58;//")
