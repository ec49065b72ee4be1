"""The year's error budget: how many chances the verdicts of a year had to be wrong.

Each verdict is a new hypothesis, and a year of them must promote a model that is no better with a
chance of at most `year_error`. So each spends a part of that error (alpha spending over a stream of
hypotheses; Foster and Stine 2008): one share of `looks_per_year`, and never more than two shares of
what the 365 days before left over. The first five of ten are sharp, later ones are stricter, none
is ever without a chance, and what was spent comes back after a year. By the union bound the sum
holds however much verdicts have in common.

Looks (one adapter judged on one dataset) are an append-only log in the store; judging the same
again is the same look.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.shared.store import Store

YEAR = timedelta(days=365)
# What the looks may spend; the rest is for what Student's distribution errs by where differences
# are not normal.
SPENDABLE = 0.9


@dataclass(frozen=True)
class Look:
    """The error that a look may spend, by which rules, and what the 365 days before it spent."""

    year_error: float
    looks_per_year: int
    before: tuple[float, ...] = ()  # the levels of the looks before, oldest first

    @property
    def level(self) -> float:
        """Return the one-sided error that this look may spend."""
        return share(self.year_error, self.looks_per_year, sum(self.before))


def share(year_error: float, looks_per_year: int, spent: float = 0.0) -> float:
    """Return the error that a look may spend when `spent` was spent in the 365 days before it."""
    whole = SPENDABLE * year_error
    left = max(whole - spent, 0.0)
    return min(whole / looks_per_year, left * min(2 / looks_per_year, 1.0))


def take_look(
    store: Store,
    release: str,
    look: str,
    year_error: float,
    looks_per_year: int,
    now: datetime | None = None,
) -> Look:
    """Enter a look into the log, once, and return what it may spend.

    `look` is the hash of everything that the verdict depends on.
    """
    log = f"looks/{release}"
    looks = _first(store, log)
    if look not in looks:
        at = (now or datetime.now(UTC)).isoformat()
        rules = {"year_error": year_error, "looks_per_year": looks_per_year}
        store.append(log, {"look": look, "at": at, **rules})
        looks = _first(store, log)
    return _spending(looks)[look]


def coming_look(store: Store, release: str, year_error: float, looks_per_year: int) -> Look:
    """Return what a look that is taken now may spend, without entering it."""
    now = {"": (datetime.now(UTC), year_error, looks_per_year)}
    return _spending(_first(store, f"looks/{release}") | now)[""]


def _spending(looks: dict[str, tuple[datetime, float, int]]) -> dict[str, Look]:
    """Return what each look spends, in the order of their times."""
    found: dict[str, Look] = {}
    for look, (at, year_error, looks_per_year) in looks.items():
        before = tuple(found[name].level for name in found if looks[name][0] > at - YEAR)
        found[look] = Look(year_error, looks_per_year, before)
    return found


def _first(store: Store, log: str) -> dict[str, tuple[datetime, float, int]]:
    """Return when each look was first taken and by which rules, oldest first."""
    looks: dict[str, tuple[datetime, float, int]] = {}
    for entry in store.entries(log):
        taken = datetime.fromisoformat(entry["at"]), entry["year_error"], entry["looks_per_year"]
        looks[entry["look"]] = min(taken, looks.get(entry["look"], taken))
    return dict(sorted(looks.items(), key=lambda item: (item[1], item[0])))
