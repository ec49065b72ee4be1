"""Keep to a teacher's rate limits while using them up: learned from its answers, never guessed.

Groq's limits are token buckets: `limit` tokens or requests that come back evenly over a minute or a day. The headers of
every answer tell limit, rest and the time until the bucket is full, which gives the rate whatever the period is. The
requests of a minute stand in no header; the message of a 429 tells them.
See https://console.groq.com/docs/rate-limits.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PATIENCE = 600.0  # seconds; a limit that needs a longer wait is the day's, and ends the run
FIRST_WINDOW = (
    2  # requests in flight at first; one more with each answer, half as many after a failure
)
_DURATION = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_REFUSAL = re.compile(r"\((?P<name>[A-Z]{3,4})\): Limit (?P<limit>\d+), Used (?P<used>\d+)")
_TRY_AGAIN = re.compile(r"try again in ([\dhms.]+[hms])")


def seconds(duration: str) -> float | None:
    """Return the seconds of "2m59.56s", "180ms", "7.66s" or "12", or None for anything else."""
    duration = duration.strip()
    if re.fullmatch(r"\d+(\.\d+)?", duration):
        return float(duration)
    found = _DURATION.fullmatch(duration)
    if not duration or not found:
        return None
    units = (86_400, 3_600, 60, 1, 0.001)
    return sum(float(part) * unit for part, unit in zip(found.groups(), units, strict=True) if part)


class DayIsOver(Exception):
    """A limit lets nothing through for longer than anyone waits; the argument is that wait in seconds."""


@dataclass
class Bucket:
    """One limit: `level` is left of `limit`, and comes back at `rate` a second."""

    limit: float
    level: float
    rate: float
    at: float

    def wait(self, need: float, now: float) -> float:
        """Return the seconds until `need` is there; a need beyond the limit waits for the full bucket."""
        missing = min(need, self.limit) - self.now(now)
        return 0.0 if missing <= 0 else missing / self.rate if self.rate > 0 else PATIENCE * 2

    def now(self, now: float) -> float:
        """Return the level, brought up to date."""
        self.level = min(self.limit, self.level + self.rate * max(0.0, now - self.at))
        self.at = now
        return self.level


class Pace:
    """Lets requests through when window and limits allow; shared by all threads that ask."""

    def __init__(
        self, most: int, requests_per_minute: float = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._clock = most, clock
        self._window = float(min(FIRST_WINDOW, most))
        self._flying: dict[int, tuple[float, float]] = {}  # number -> (sent at, tokens reserved)
        self._count = 0
        self._pause_until = 0.0
        self._buckets: dict[str, Bucket] = {}
        self._learned: dict[
            str, float
        ] = {}  # bucket -> when the request was sent whose answer it stands by
        self._changed = threading.Condition()
        if requests_per_minute:
            rate = requests_per_minute / 60
            self._buckets["RPM"] = Bucket(requests_per_minute, requests_per_minute, rate, clock())

    def enter(self, tokens: int, stopped: Callable[[], bool]) -> int | None:
        """Wait until a request of so many tokens may go; return its number, or None when stopped meanwhile.

        Raises DayIsOver when that would take longer than PATIENCE.
        """
        with self._changed:
            while not stopped():
                now = self._clock()
                full = len(self._flying) >= int(self._window)
                waits = [
                    bucket.wait(tokens if name[0] == "T" else 1, now)
                    for name, bucket in self._buckets.items()
                ]
                wait = max([self._pause_until - now, *waits])
                if wait > PATIENCE:
                    raise DayIsOver(wait)
                if wait <= 0 and not full:
                    self._count += 1
                    self._flying[self._count] = now, tokens
                    for name, bucket in self._buckets.items():
                        bucket.level -= tokens if name[0] == "T" else 1
                    return self._count
                self._changed.wait(min(wait, 0.2) if wait > 0 else 0.2)
        return None

    def leave(
        self, number: int, *, spent: int = 0, headers: Mapping[str, str] | None = None, good: bool
    ) -> None:
        """Count a request as ended: what it spent, what the headers tell of the limits, whether it was answered."""
        with self._changed:
            sent, reserved = self._flying.pop(number)
            now = self._clock()
            self._window = min(self._most, self._window + 1) if good else max(1.0, self._window / 2)
            for name, bucket in self._buckets.items():
                if name[0] == "T":
                    bucket.level = min(bucket.limit, bucket.now(now) + reserved - spent)
            for name, kind in (("T", "tokens"), ("R", "requests")):
                self._learn(name, kind, headers or {}, sent, now)
            self._changed.notify_all()

    def refused(self, message: str, retry_after: float | None) -> bool:
        """Learn from a 429: pause for everyone; return whether it told how long to wait."""
        with self._changed:
            now = self._clock()
            again = _TRY_AGAIN.search(message)
            wait = (
                retry_after
                if retry_after is not None
                else seconds(again.group(1))
                if again
                else None
            )
            if (told := _REFUSAL.search(message)) and told["name"] == "RPM":  # stands in no header
                limit, used = float(told["limit"]), float(told["used"])
                self._buckets["RPM"] = Bucket(limit, limit - used, limit / self._minute(), now)
            if wait is not None:
                self._pause_until = max(self._pause_until, now + wait)
            if wait is not None and wait > PATIENCE:
                raise DayIsOver(wait)
            self._changed.notify_all()
        return wait is not None

    def wake(self) -> None:
        """Have every waiting thread look again whether it is stopped."""
        with self._changed:
            self._changed.notify_all()

    def _minute(self) -> float:
        """Return the seconds in which the tokens of a minute come back: a stand-in's minute can be short."""
        tokens = self._buckets.get("T")
        return tokens.limit / tokens.rate if tokens and tokens.rate > 0 else 60.0

    def _learn(
        self, name: str, kind: str, headers: Mapping[str, str], sent: float, now: float
    ) -> None:
        """Set a bucket to what the server says, less what is under way: requests and answers overtake one another."""
        if sent < self._learned.get(name, sent):  # the answer to a later request has told already
            return
        try:
            limit, rest = (
                float(headers[f"x-ratelimit-{part}-{kind}"]) for part in ("limit", "remaining")
            )
        except (KeyError, ValueError):
            return
        reset = seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        known = self._buckets.get(name)
        rate = (
            (limit - rest) / reset
            if reset and limit > rest
            else known.rate
            if known
            else limit / 60
        )
        flying = [tokens for _, tokens in self._flying.values()]
        level = rest - (sum(flying) if name == "T" else len(flying))
        self._buckets[name] = Bucket(limit, level, rate, now)
        self._learned[name] = sent
