"""The verdict as evaluate writes it to verdict.json and promote and the command line read it."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from components.shared.errors import DataError
from components.shared.records import write_atomically

BASE, TUNED, CHAMPION = "base", "tuned", "champion"
MODELS = (BASE, TUNED, CHAMPION)

BETTER = "better"  # the only one that is promoted
COPYING = "better than base, not better than copying"
NO_EVIDENCE = "no evidence"
WORSE = "worse"
FORGETS = "forgets"
TOO_LITTLE = "too little data"

# Trivial baselines use no model: their names in files, and how people call them.
BASE_CUT = "base, cut to length"
TITLES = {
    "echo input": "copy-input baseline",
    "first words": "first-words baseline",
    "echo instruction": "copy-instruction baseline",
    "random training answer": "random-answer baseline",
    "empty": "empty-answer baseline",
    BASE_CUT: "truncated-base baseline",
}


def title(system: str) -> str:
    """Return how people call a system."""
    return TITLES.get(system, system)


@dataclass(frozen=True, kw_only=True)
class SystemScores:
    """How one system did, as means over all test examples."""

    name: str
    examples: int
    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815  the name that the field and rouge-score use
    precision: dict[str, float]  # by metric
    recall: dict[str, float]
    rouge_score: dict[str, float]  # F measures under rouge-score's tokenizer, as published
    metrics: dict[str, float]  # every further metric
    words: float
    repetition: float  # mean share of runs of four words that the answer had before
    stopped: float | None  # share of answers that ended by themselves; None for baselines
    loss: float | None  # nats a token of the references; None where it is not measured

    @property
    def is_baseline(self) -> bool:
        """Tell whether the system is no model."""
        return self.name not in MODELS


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The mean of tuned - other over all examples, and how sure it is."""

    other: str
    difference: float
    low: float  # the interval at the rules' confidence, for reading
    high: float
    floor: float  # the lower bound at this verdict's share of the year's error: it decides
    standard_error: float  # clustered by paper
    freedom: float  # degrees of freedom of that error
    deviation: float  # of the differences
    shared: float  # share of their variance that papers have in common
    p_value: float  # two-sided, papers change sides at random (exact where all ways are tried)
    detectable: float  # the smallest true gain whose floor clears zero in 80% of runs
    papers_won: float  # share of papers whose mean favours tuned
    examples: int
    papers: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Base and tuned on the examples of one kind or one paper, as means."""

    name: str
    examples: int
    base: float
    tuned: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Base and tuned on one kind of probe; see components/evaluate/currency.py."""

    part: str  # which probes: learned, closed, open, text, kept
    unit: str
    base: float
    tuned: float
    gain: float  # more is better, whatever the unit
    low: float  # its interval at the rules' confidence
    high: float
    examples: int
    papers: int


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the verdict needs, decided before the run."""

    metric: str
    confidence: float
    resamples: int
    seed: int
    year_error: float
    looks_per_year: int
    min_test_examples: int
    min_test_papers: int
    kept_margin: float = 0.1  # nats a token that general text may get harder


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The word, why, and every number that it rests on."""

    word: str
    reason: str
    notes: list[str] = field(default_factory=list)  # what a reader of the verdict has to know
    run: str = ""
    at: str = ""  # ISO 8601, UTC
    base: str
    adapter_digest: str
    dataset_digest: str  # of train and test, as curate computes it
    champion: dict[str, Any] | None = None  # version, adapter_digest of the release compared with
    trained: bool
    knows: bool = True  # the base knew something before: what it forgets is decided on
    cutoff: str = ""  # last day of what the base may have read, YYYY-MM-DD; empty if unknown
    older: list[str] = field(default_factory=list)  # test papers that may be no younger
    # What each verdict on this release in the 365 days before spent of the year's error.
    spent_before: list[float] = field(default_factory=list)
    level: float  # the one-sided error that this verdict spends of the year's
    expected_spread: dict[str, float]  # of the differences from the base: deviation, shared
    planned_gain: float | None  # true gain that this test set should find, said before any answer
    left_out: int = 0  # test examples of papers that one of the models was trained on
    examples: int
    papers: int
    unnamed: int = 0  # of the papers: groups of rows that name none
    rules: Rules
    systems: list[SystemScores]
    comparisons: list[Comparison]
    currency: list[Figure] = field(default_factory=list)
    kinds: list[Group] = field(default_factory=list)
    by_paper: list[Group] = field(default_factory=list)  # the smallest gain first

    @property
    def looks_spent(self) -> int:
        """Return how many other verdicts on this release fell within the 365 days before."""
        return len(self.spent_before)

    @property
    def counted(self) -> str:
        """Return how many papers were tested on, as far as they are papers."""
        if not self.unnamed:
            return f"{self.papers:,} paper{'s' * (self.papers != 1)} that nobody trained on"
        return f"{self.papers:,} groups of rows, whose papers are unknown"

    def system(self, name: str) -> SystemScores | None:
        """Return the scores of a system, or None when it did not take part."""
        return next((system for system in self.systems if system.name == name), None)

    def against(self, other: str) -> Comparison | None:
        """Return the comparison of tuned with a system, or None when there is none."""
        return next((pair for pair in self.comparisons if pair.other == other), None)

    @property
    def best_baseline(self) -> SystemScores | None:
        """Return the trivial baseline with the highest ROUGE-L."""
        baselines = [system for system in self.systems if system.is_baseline]
        return max(baselines, key=lambda system: system.rougeL, default=None)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read verdict.json; raise DataError when it is missing or is no verdict."""
        try:
            row = json.loads(path.read_text("utf-8"))
            row["rules"] = Rules(**row["rules"])
            kinds = {"systems": SystemScores, "comparisons": Comparison}
            for name, kind in {**kinds, "kinds": Group, "by_paper": Group}.items():
                row[name] = [kind(**item) for item in row[name]]
            row["currency"] = [Figure(**item) for item in row.get("currency", ())]
            return cls(**row)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist", "run evaluate first") from None
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path.name}: not a verdict ({error})", "run evaluate again") from None

    def write(self, path: Path) -> None:
        """Write verdict.json."""
        write_atomically(path, self.text)

    @property
    def text(self) -> str:
        """Return the content of verdict.json."""
        row = dataclasses.asdict(self)
        return json.dumps(row, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
