"""All verdicts on a release: an append-only log in the store, what it tells of the spread, and a
page of it.

verdicts/<release>/<sequence>-<hash>   one entry a run: when, word, gain, and how differences spread
"""

from dataclasses import dataclass
from pathlib import Path

from components.evaluate.charts import difference_scale
from components.evaluate.report import render
from components.evaluate.statistics import CAUTIOUS, Spread
from components.shared.errors import DataError
from components.shared.names import safe_name
from components.shared.records import Record, write_atomically
from components.shared.store import Store
from components.shared.verdict import BASE, CHAMPION, TUNED, Comparison, Verdict

RECENT = 5  # verdicts whose spread is taken for the next one's


@dataclass(kw_only=True)
class PastVerdict(Record):
    """What a run's verdict came to; figures are ROUGE-L of the tuned model."""

    run: str
    at: str
    word: str
    base: str
    examples: int
    papers: int
    planned_gain: float | None
    score: float | None = None
    against_base: Comparison | None = None
    champion_gain: float | None = None  # over the release that was current


def remember(store: Store, release: str, verdict: Verdict) -> None:
    """Append a verdict to the history of its release."""
    tuned, champion = verdict.system(TUNED), verdict.against(CHAMPION)
    entry = PastVerdict(
        run=verdict.run,
        at=verdict.at,
        word=verdict.word,
        base=verdict.base,
        examples=verdict.examples,
        papers=verdict.papers,
        planned_gain=verdict.planned_gain,
        score=tuned.rougeL if tuned else None,
        against_base=verdict.against(BASE),
        champion_gain=champion.difference if champion else None,
    )
    store.append(_log(release), entry.to_dict())


def past_verdicts(store: Store, release: str) -> list[PastVerdict]:
    """Return the history, oldest first."""
    log, found = _log(release), []
    for row in store.entries(log):
        entry = PastVerdict.from_dict(row, log)
        if row.get("against_base"):
            entry.against_base = Comparison(**row["against_base"])
        found.append(entry)
    return found


def expected_spread(store: Store, release: str, base: str) -> tuple[Spread, str]:
    """Return how differences from this base should spread, and where that is known from."""
    measured = []
    for entry in past_verdicts(store, release):
        if entry.base == base and entry.against_base and entry.against_base.deviation:
            measured.append(entry.against_base)
    if not measured:
        return CAUTIOUS, "a cautious guess at the spread"
    recent = measured[-RECENT:]
    deviation = sum(pair.deviation for pair in recent) / len(recent)
    shared = sum(pair.shared for pair in recent) / len(recent)
    return Spread(deviation, shared), f"the spread of the last {len(recent)} verdicts"


def write_page(path: Path, store: Store, release: str) -> int:
    """Write a page of all verdicts, with the gain over time; return their number."""
    entries = past_verdicts(store, release)
    if not entries:
        raise DataError(f"no verdict on a release named {release!r} yet", "run the pipeline first")
    pairs = [entry.against_base for entry in entries if entry.against_base]
    scale = difference_scale(pairs) if pairs else None
    context = {"release": release, "entries": entries, "scale": scale}
    write_atomically(path, render("history.html.j2", context))
    return len(entries)


def _log(release: str) -> str:
    return f"verdicts/{safe_name(release, 'release name')}"
