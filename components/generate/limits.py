"""Keep to a teacher's rate limits while using them up: learned from its answers, never guessed.

Groq's limits are token buckets: `limit` tokens or requests that come back evenly over a minute or a
day. The headers of every answer tell limit, rest and the time until the bucket is full, which gives
the rate whatever the period is. The requests of a minute stand in no header; the message of a 429
tells them. See https://console.groq.com/docs/rate-limits.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.shared.progress import say
from components.shared.text import finite

PATIENCE_S = 600.0  # a limit that needs a longer wait is the day's, and ends the asking
LONGEST_S = 30 * 86_400.0
TOLD_S = 20.0  # a pause that a person is told of
LOOK_S = 0.2  # between two looks whether all is stopped
_DURATION = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_REFUSAL = re.compile(r"\((?P<name>[A-Z]{3,4})\): Limit (?P<limit>\d+), Used (?P<used>\d+)")
_TRY_AGAIN = re.compile(r"try again in ([\dhms.]+[hms])")


def seconds(duration: str) -> float | None:
    """Return the seconds of "2m59.56s", "180ms" or "12", or None for anything else."""
    duration = duration.strip()[:40]
    found = _DURATION.fullmatch(duration)
    if not duration or not found:
        plain = finite(duration, 0)
        return plain and min(plain, LONGEST_S)
    total = 0.0
    for part, unit in zip(found.groups("0"), (86_400, 3_600, 60, 1, 0.001), strict=True):
        total += float(part) * unit
    return min(total, LONGEST_S)


class DailyQuotaExceeded(Exception):
    """A limit lets nothing through for longer than anyone waits: `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


@dataclass
class Bucket:
    """One limit: `level` is left of `limit`, and comes back at `rate` a second, above 0."""

    limit: float
    level: float
    rate: float
    at: float

    def wait(self, need: float, now: float) -> float:
        """Return the seconds until `need` is there, or until the bucket is full."""
        missing = min(need, self.limit) - self.now(now)
        return max(0.0, missing / self.rate)

    def now(self, now: float) -> float:
        """Return the level, brought up to date."""
        self.level = min(self.limit, self.level + self.rate * max(0.0, now - self.at))
        self.at = now
        return self.level


class RateLimiter:
    """Lets requests through when window and limits allow; shared by all threads that ask."""

    def __init__(
        self, most: int, requests_per_minute: float = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._clock = most, clock
        # One request at first, whose answer tells the limits; one more with each answer, half as
        # many after a failure.
        self._window = 1.0
        self._in_flight: dict[int, tuple[float, int]] = {}  # number -> (sent at, tokens reserved)
        self._count = 0
        self._pause_until = 0.0
        self._buckets: dict[str, Bucket] = {}  # T: tokens a minute, R: requests a day, RPM
        self._learned: dict[str, float] = {}  # bucket -> when the request was sent that told it
        self._changed = threading.Condition()
        if requests_per_minute:
            rate = requests_per_minute / 60
            self._buckets["RPM"] = Bucket(requests_per_minute, requests_per_minute, rate, clock())

    def limit(self, name: str) -> float:
        """Return a limit that was told, else 0: T of tokens a minute, R of requests a day."""
        return self._buckets[name].limit if name in self._buckets else 0.0

    def enter(self, tokens: int, stopped: Callable[[], bool]) -> int | None:
        """Wait until a request of so many tokens may go; return its number, or None when stopped
        meanwhile.

        Raises DailyQuotaExceeded when that would take longer than PATIENCE_S.
        """
        with self._changed:
            while not stopped():
                now = self._clock()
                needs = {"T": tokens}  # of the other buckets: one request
                wait = self._pause_until - now
                for name, bucket in self._buckets.items():
                    wait = max(wait, bucket.wait(needs.get(name, 1), now))
                if wait > PATIENCE_S:
                    raise DailyQuotaExceeded(wait)
                if wait <= 0 and len(self._in_flight) < int(self._window):
                    self._count += 1
                    self._in_flight[self._count] = now, tokens
                    for name, bucket in self._buckets.items():
                        bucket.level -= needs.get(name, 1)
                    return self._count
                if wait <= 0:
                    wait = LOOK_S
                self._changed.wait(min(wait, LOOK_S))
        return None

    def leave(
        self, number: int, *, spent: int = 0, headers: Mapping[str, str] | None = None, good: bool
    ) -> None:
        """Count a request as ended, with what it spent and what the headers tell."""
        with self._changed:
            sent, reserved = self._in_flight.pop(number)
            now = self._clock()
            if good:
                self._window = min(self._most, self._window + 1)
            else:
                self._window = max(1.0, self._window / 2)
            if tokens := self._buckets.get("T"):
                tokens.level = min(tokens.limit, tokens.now(now) + reserved - spent)
            under_way = sum(tokens for _, tokens in self._in_flight.values())
            self._learn("T", "tokens", under_way, headers or {}, sent)
            self._learn("R", "requests", len(self._in_flight), headers or {}, sent)
            self._changed.notify_all()

    def refused(self, message: str, wait_s: float | None) -> None:
        """Learn from a 429: where it tells how long to wait, everyone does."""
        with self._changed:
            now = self._clock()
            if wait_s is None and (again := _TRY_AGAIN.search(message)):
                wait_s = seconds(again.group(1))
            told = _REFUSAL.search(message)
            if told and told["name"] == "RPM" and float(told["limit"]) > 0:  # stands in no header
                limit, used = float(told["limit"]), float(told["used"])
                self._buckets["RPM"] = Bucket(limit, limit - used, limit / self._minute(), now)
            if wait_s is None:
                return
            if TOLD_S < wait_s <= PATIENCE_S and now + wait_s > self._pause_until + TOLD_S:
                say("generate", f"the teacher asks to wait {wait_s:.0f} s (429)")
            self._pause_until = max(self._pause_until, now + wait_s)
            self._changed.notify_all()

    def _minute(self) -> float:
        """Return the seconds of a minute, by the tokens that come back; a stand-in's is short."""
        tokens = self._buckets.get("T")
        return tokens.limit / tokens.rate if tokens else 60.0

    def _learn(
        self, name: str, kind: str, under_way: int, headers: Mapping[str, str], sent: float
    ) -> None:
        """Set a bucket to what the server says, less what is under way."""
        if sent < self._learned.get(name, sent):  # the answer to a later request has told already
            return
        limit = finite(headers.get(f"x-ratelimit-limit-{kind}"), 1, 1e12)
        rest = finite(headers.get(f"x-ratelimit-remaining-{kind}"), 0, 1e12)
        if limit is None or rest is None:
            return
        reset = seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if reset and limit > rest:
            rate = (limit - rest) / reset
        elif name in self._buckets:
            rate = self._buckets[name].rate
        else:
            rate = limit / 60
        self._buckets[name] = Bucket(limit, rest - under_way, rate, self._clock())
        self._learned[name] = sent
