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
from components.shared.verdict import BASE, CHAMPION, TUNED, Verdict

RECENT = 5  # verdicts whose spread is taken for the next one's


@dataclass(kw_only=True)
class PastVerdict(Record):
    """What a run's verdict came to; figures are ROUGE-L of the tuned model."""

    run: str
    at: str
    word: str
    base: str
    adapter_digest: str
    examples: int
    papers: int
    planned_gain: float | None
    score: float | None = None
    compared: bool = False  # whether the figures below were measured
    difference: float = 0.0  # from the base, with its interval and the bound that decides
    low: float = 0.0
    high: float = 0.0
    floor: float = 0.0
    champion_gain: float | None = None  # over the release that was current
    deviation: float | None = None  # of the differences from the base
    shared: float | None = None  # share of their variance that papers have in common


def remember(store: Store, release: str, verdict: Verdict) -> None:
    """Append a verdict to the history of its release."""
    entry = PastVerdict(
        run=verdict.run,
        at=verdict.at,
        word=verdict.word,
        base=verdict.base,
        adapter_digest=verdict.adapter_digest,
        examples=verdict.examples,
        papers=verdict.papers,
        planned_gain=verdict.planned_gain,
    )
    if tuned := verdict.system(TUNED):
        entry.score = tuned.rougeL
    if pair := verdict.against(BASE):
        entry.compared = True
        entry.difference, entry.low, entry.high = pair.difference, pair.low, pair.high
        entry.floor, entry.deviation, entry.shared = pair.floor, pair.deviation, pair.shared
    if pair := verdict.against(CHAMPION):
        entry.champion_gain = pair.difference
    store.append(_log(release), entry.to_dict())


def past_verdicts(store: Store, release: str) -> list[PastVerdict]:
    """Return the history, oldest first."""
    log = _log(release)
    return [PastVerdict.from_dict(entry, log) for entry in store.entries(log)]


def expected_spread(store: Store, release: str, base: str) -> tuple[Spread, str]:
    """Return how differences from this base should spread, and where that is known from."""
    measured = []
    for entry in past_verdicts(store, release):
        if entry.base == base and entry.deviation and entry.shared is not None:
            measured.append(Spread(entry.deviation, entry.shared))
    if not measured:
        return CAUTIOUS, "a cautious guess at the spread"
    recent = measured[-RECENT:]
    deviation = sum(spread.deviation for spread in recent) / len(recent)
    shared = sum(spread.shared for spread in recent) / len(recent)
    return Spread(deviation, shared), f"the spread of the last {len(recent)} verdicts"


def write_page(path: Path, store: Store, release: str) -> int:
    """Write a page of all verdicts, with the gain over time; return their number."""
    entries = past_verdicts(store, release)
    if not entries:
        raise DataError(f"no verdict on a release named {release!r} yet", "run the pipeline first")
    judged = [entry for entry in entries if entry.compared]
    scale = difference_scale(judged) if judged else None
    context = {"release": release, "entries": entries, "judged": judged, "scale": scale}
    write_atomically(path, render("history.html.j2", context))
    return len(entries)


def _log(release: str) -> str:
    return f"verdicts/{safe_name(release, 'release name')}"
