"""The year's error budget: how many chances the verdicts of a year had to be wrong.

A weekly run whose interval is wrong in 2.5% of runs promotes an equal model in most years. So each look (one adapter
judged on one dataset) spends an equal share of the year's error, and no look is left when the year's number of looks is
spent: within any 365 days an equal model is promoted with at most `year_error`, by the union bound, however much the
looks have in common. Looks are an append-only log in the store; judging the same again is the same look.
"""

from datetime import UTC, datetime, timedelta

from components.shared.store import Store

YEAR = timedelta(days=365)


def look_log(release: str) -> str:
    """Return the key of the log of all looks at candidates for a release."""
    return f"looks/{release}"


def take_look(store: Store, release: str, look: str, now: datetime | None = None) -> int:
    """Enter a look into the log, once, and return how many other looks the 365 days before it saw.

    `look` is the hash of everything that the verdict depends on.
    """
    log = look_log(release)
    times = _first_times(store, log)
    if look not in times:
        at = now or datetime.now(UTC)
        store.append(log, {"look": look, "at": at.isoformat()})
        times = _first_times(store, log)
    at = times[look]
    return sum(at - YEAR < other <= at for name, other in times.items() if name != look)


def _first_times(store: Store, log: str) -> dict[str, datetime]:
    """Return when each look was first taken."""
    times: dict[str, datetime] = {}
    for entry in store.entries(log):
        at = datetime.fromisoformat(entry["at"])
        times[entry["look"]] = min(at, times.get(entry["look"], at))
    return times
