"""A stage's ledger: what came in, was kept or dropped, and why. Nothing is dropped silently.

Beside its records every stage writes

    rejects.jsonl   one object a dropped item: stage, item, reason, detail
    lineage.jsonl   one object a stage so far: counts, reasons, facts; its own follows its input's

so that the last report can tell the whole way of the data without reaching back into other stages.
"""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from components.shared.records import write_atomically

SHOWN = 200  # rejects carried in the lineage for the report; rejects.jsonl has them all


class Ledger:
    """Count what a stage keeps and drops."""

    def __init__(self, stage: str, unit: str) -> None:
        self.stage, self.unit = stage, unit
        self.kept = 0
        self.facts: dict[str, Any] = {}
        self.rejects: list[dict[str, str]] = []
        self._started = time.monotonic()

    def keep(self, count: int = 1) -> None:
        """Count kept items."""
        self.kept += count

    def drop(self, item: str, reason: str, detail: str = "") -> None:
        """Keep the reject: `reason` is a short phrase that groups, `detail` is of this item."""
        self.rejects.append({"stage": self.stage, "item": item, "reason": reason, "detail": detail})

    @property
    def dropped(self) -> dict[str, int]:
        """Return how many items were dropped for each reason."""
        return dict(sorted(Counter(reject["reason"] for reject in self.rejects).items()))

    def summary(self) -> dict[str, Any]:
        """Return this stage's line of the lineage."""
        return {
            "stage": self.stage,
            "unit": self.unit,
            "seen": self.kept + len(self.rejects),
            "kept": self.kept,
            "dropped": self.dropped,
            "seconds": round(time.monotonic() - self._started, 2),
            "facts": self.facts,
            "rejects": self.rejects[:SHOWN],
        }

    def write(self, folder: Path, upstream: Path | None = None) -> dict[str, Any]:
        """Write rejects.jsonl and lineage.jsonl into `folder`; return this stage's summary."""
        summary = self.summary()
        before = read_lineage(upstream) if upstream else []
        write_atomically(folder / "rejects.jsonl", _lines(self.rejects))
        write_atomically(folder / "lineage.jsonl", _lines([*before, summary]))
        return summary


def read_lineage(folder: Path) -> list[dict[str, Any]]:
    """Return the summaries of all stages up to the one that wrote `folder`."""
    path = folder / "lineage.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
