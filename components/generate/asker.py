"""Ask a teacher with many threads, within its limits and ours.

However it ends short of a kill -9: nothing more is sent, and the answers under way are waited for
and kept.
"""

import random
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

from components.generate.budget import Budget, prompt_tokens
from components.generate.config import GenerateConfig
from components.generate.groq import GroqTeacher
from components.generate.limits import DailyQuotaExceeded, RateLimiter
from components.generate.teacher import Answer, Payload, Reply
from components.shared.errors import TeacherError
from components.shared.http import FetchError, Outcome
from components.shared.progress import say
from components.shared.teachers import plan

MAX_SIZE_TRIES = 3  # after a 413, should it have been a moment's: nothing is paid for them
MAX_BROKEN = 3  # answers to one page that are no chat completions
MAX_PAUSE_S = 120.0  # that a server may ask for after a failure
MAX_REFUSED = 10  # pages in a row that are refused: then it is not the pages
TOLD_FAILURE = 2  # of one page in a row: from here on a person should know why nothing comes
MAX_LIMITED = 40  # 429s in a row with no answer between them
ENDED = "not asked: the run was ended"


class Asker:
    """Asks for the answers of one run."""

    def __init__(
        self, config: GenerateConfig, teacher: GroqTeacher, budget: Budget,
        keep: Callable[[str, Reply], Answer],
    ) -> None:  # fmt: skip
        self._config, self._teacher, self._budget, self._keep = config, teacher, budget, keep
        self._limiter = RateLimiter(config.max_in_flight, config.requests_per_minute)
        self._stopping = threading.Event()
        self._answered = 0  # requests so far
        self._refused = self._limited = 0  # in a row
        self._told = -1  # answers there were when a failing teacher was told of
        self._left = ""  # why no further page is asked about, where that is no error
        if config.teacher_plan != "auto":
            self._plan_for(config.teacher_plan)

    def run(self, payloads: dict[str, Payload]) -> Generator[tuple[str, Answer], None, None]:
        """Yield what became of each request as it ends: the answer, kept by then, or the reason why
        there is none.

        Raises TeacherError when the teacher refuses for good; all that was answered by then is
        kept.
        """
        pool = ThreadPoolExecutor(min(self._config.max_in_flight, len(payloads)), "ask")
        try:
            futures = {pool.submit(self._work, key, payloads[key]): key for key in payloads}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            self._stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, key: str, payload: Payload) -> Answer:
        """Ask for one answer; an error ends the asking at once, before this thread's next page."""
        try:
            return self._ask(key, payload)
        except BaseException:
            self._stopping.set()
            raise

    def _ask(self, key: str, payload: Payload) -> Answer:
        """Ask until there is an answer or a reason why there is none."""
        failures = too_large = broken = 0
        answered_before = self._answered
        while not self._stopping.is_set():
            if reason := self._left or self._budget.refuses(payload):
                return reason
            try:
                return self._send(key, payload)
            except DailyQuotaExceeded as over:
                return self._day_over(over.wait_s)
            except FetchError as error:
                problem, told_s = error.reason, error.after_s or 0.0
                broken += error.http_status == 200
                if error.http_status == 429:
                    failures += self._wait_as_told(error)
                elif error.http_status == 413 and too_large < MAX_SIZE_TRIES:
                    too_large += 1
                    continue
                elif error.outcome is not Outcome.RETRY:
                    return self._refusal(error)
                else:
                    failures += 1
            failing = f"the teacher at {self._teacher.url}: {problem}"
            given_up = f"{failing}, {max(failures, broken)} times for one page"
            # Where others were answered meanwhile, it is this page.
            others = broken >= MAX_BROKEN or self._answered > answered_before
            if broken >= MAX_BROKEN or failures > self._config.retries:
                if others:
                    return given_up
                raise TeacherError(given_up, "run again later: answers so far are kept")
            if failures:
                if failures == TOLD_FAILURE and self._told != self._answered:  # once an outage
                    self._told = self._answered
                    say("generate", f"{failing}; asking again for a while")
                doubled = min(32.0, 2.0 ** (failures - 1)) * self._config.backoff_s
                pause = doubled * random.uniform(0.5, 1.0)
                self._stopping.wait(max(pause, min(told_s, MAX_PAUSE_S)))
        return ENDED

    def _wait_as_told(self, error: FetchError) -> bool:
        """Have everyone wait after a 429; return whether it did not say how long."""
        self._limited += 1
        self._limiter.refused(error.detail, error.after_s)
        if self._limited > MAX_LIMITED + self._config.max_in_flight:
            raise TeacherError(
                f"the teacher answers 429 {self._limited} times in a row", "run again later"
            )
        return error.after_s is None

    def _send(self, key: str, payload: Payload) -> Answer:
        """Send one request when limits allow and keep its answer."""
        set_aside = int(prompt_tokens(payload)) + payload["max_completion_tokens"]  # by the teacher
        number = self._limiter.enter(set_aside, self._stopping.is_set)
        if number is None:
            return ENDED
        spent, good = 0, True
        headers: Mapping[str, str] | None = None
        try:
            if reason := self._budget.reserve(payload):
                return reason
            good = False
            try:
                reply, headers = self._teacher.send(payload)
                self._budget.book(reply)
            finally:
                self._budget.release(payload)
            spent, good = reply.tokens, True
            self._answered += 1
            self._refused = self._limited = 0
            return self._keep(key, reply)
        finally:
            self._limiter.leave(number, spent=spent, headers=headers, good=good)
            if headers is not None:
                self._learn_plan()

    def _learn_plan(self) -> None:
        """Learn from the limits that were told whether the account is on the free plan."""
        free = plan("free")
        tokens, requests = self._limiter.limit("T"), self._limiter.limit("R")
        within = 0 < tokens <= free.tokens_a_minute and 0 < requests <= free.requests_a_day
        if within and self._config.teacher_plan == "auto" and not self._budget.day_tokens:
            self._plan_for("free")

    def _plan_for(self, name: str) -> None:
        """Ask no more than one day of the plan allows."""
        self._budget.day_tokens = plan(name).tokens_a_day
        if self._budget.day_tokens:
            say(
                "generate",
                f"{name} plan: one day's {self._budget.day_tokens:,} tokens are asked for, "
                "the best pages first; a run on another day goes on with the rest",
            )

    def _refusal(self, error: FetchError) -> Answer:
        """Return why a page was refused; raise TeacherError where it is not the page."""
        self._refused += 1
        if not error.http_status:
            return f"the teacher's answer cannot be used: {error.reason}"
        told = f" ({error.http_status}): {error.detail or error.reason}"
        if error.http_status == 413:
            told = f" as too large{told}"
        if (error.http_status == 403 and not self._answered) or self._refused > MAX_REFUSED:
            raise TeacherError(
                f"the teacher at {self._teacher.url} refuses requests{told}",
                "it may be network, address, account, key or model; answers so far are kept",
            )
        return f"refused by the teacher{told}"[:300]

    def _day_over(self, wait_s: float) -> Answer:
        """Return why the rest is left; raise TeacherError unless one day was planned for."""
        problem = f"the teacher's quota of the day is used up, for {wait_s / 3600:.1f} h"
        if not self._budget.day_tokens:
            raise TeacherError(problem, "run again then: answers are kept")
        self._left = f"left for another day: {problem}"
        return self._left
