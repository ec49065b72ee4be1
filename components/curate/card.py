"""The data card: what went through which gate, what is left, and what it is like. HTML and Markdown, for a person."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.curate.config import CurateConfig
from components.curate.gates import EXAMPLE_GATE, GATES, triple_tokens
from components.curate.leakage import N, overlaps
from components.curate.split import EMBARGO, RELATIVE, TEST, TRAIN, UNDATED
from components.shared.ledger import Ledger
from components.shared.licences import Obligation
from components.shared.records import Triple, write_atomically

LAST_GATES = (
    EXAMPLE_GATE,
    "duplicate",
    "near duplicate",
    EMBARGO,
    UNDATED,
    RELATIVE,
)  # the leak gate is the very last
SHOWN = 3  # examples of each side
BINS = (32, 64, 128, 256, 512, 1024, 2048)  # tokens; the last bin is open


@dataclass(frozen=True)
class Card:
    """What the card is made of."""

    config: CurateConfig
    ledger: Ledger
    split: dict[str, list[Triple]]
    obligations: Sequence[Obligation]

    @property
    def seen(self) -> int:
        """Return how many rows came in, unreadable ones too."""
        return self.ledger.kept + len(self.ledger.rejects)

    @property
    def gates(self) -> list[dict[str, Any]]:
        """Return each gate that stopped something, in the order of the gates, and how many rows were left behind it."""
        left, rows = self.seen, []
        for reason, count in sorted(
            self.ledger.dropped.items(), key=lambda item: (_order(item[0]), item[0])
        ):
            left -= count
            example = next(reject for reject in self.ledger.rejects if reject["reason"] == reason)
            rows.append({"reason": reason, "dropped": count, "left": left, "example": example})
        return rows

    @property
    def lengths(self) -> list[dict[str, Any]]:
        """Return the histogram of lengths in tokens: for each bin the share of each side's rows."""
        counts = {
            side: Counter(_bin(triple_tokens(triple)) for triple in self.split[side])
            for side in (TRAIN, TEST)
        }
        used = [
            place
            for place in range(len(BINS) + 1)
            if any(count[place] for count in counts.values())
        ]
        return [
            {"tokens": _bin_name(place)}
            | {
                side: (count[place], count[place] / max(1, count.total()))
                for side, count in counts.items()
            }
            for place in used
        ]

    @property
    def overlap(self) -> dict[str, Any]:
        """Return how the test rows overlap with train: before the leak gate, and measured again on what is kept."""
        shares = overlaps(self.split[TRAIN], self.split[TEST])
        before = self.ledger.facts["test rows overlapping with train before the leak gate"]
        return {"n": N, "before": before, "after": int((shares > 0).sum()), "test": len(shares)}

    @property
    def split_rule(self) -> str:
        """Return in one sentence how the sides were chosen."""
        if self.config.test_after:
            days = self.config.embargo_days
            return f"by time: test from {self.config.test_after} on, the {days} days before it left out"
        return f"by paper: {self.config.test_fraction:.0%} of papers to test, by a hash of seed {self.config.seed} and id"

    @property
    def examples(self) -> dict[str, list[Triple]]:
        """Return a few rows of each side."""
        return {side: self.split[side][:SHOWN] for side in (TRAIN, TEST)}


def write_cards(card: Card, html: Path, markdown: Path) -> None:
    """Write both forms of the card."""
    from jinja2 import Environment, FileSystemLoader

    here = FileSystemLoader(Path(__file__).parent)
    for path, template, escape in ((html, "card.html.j2", True), (markdown, "card.md.j2", False)):
        shelf = Environment(loader=here, autoescape=escape, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
        shelf.filters["cell"] = _cell
        text = shelf.get_template(template).render(
            card=card, facts=card.ledger.facts, train=TRAIN, test=TEST
        )
        write_atomically(path, text)


def _order(reason: str) -> int:
    """Return the place of a gate: reading, licence, quality, duplicates, split, leaks."""
    known = [*GATES, *LAST_GATES]
    if reason.startswith("malformed"):
        return -2
    if reason.startswith(("licence", "teacher", "answers of")):
        return -1
    return known.index(reason) if reason in known else len(known)


def _bin(tokens: int) -> int:
    return next((place for place, top in enumerate(BINS) if tokens <= top), len(BINS))


def _bin_name(place: int) -> str:
    low = BINS[place - 1] + 1 if place else 1
    return f"{low} to {BINS[place]}" if place < len(BINS) else f"over {BINS[-1]}"


def _cell(text: object) -> str:
    """Return text that stays inside one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
