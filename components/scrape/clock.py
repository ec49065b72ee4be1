"""The clock that pauses go by, in one place, so that tests can put one in its place that takes
no time."""

import time
from datetime import UTC, date, datetime


def now() -> float:
    """Return Unix seconds."""
    return time.time()


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(max(0.0, seconds))


def today() -> date:
    """Return the day in UTC."""
    return datetime.fromtimestamp(now(), UTC).date()
