"""Ask a teacher at full speed, from a process of its own.

Of its own, because an answer that was paid for and not kept yet must outlive the stage: when the stage is killed, this
process sends nothing more, waits for the answers under way, keeps them, and ends. A run that starts meanwhile waits for
its turn. (Only a machine or container that dies as a whole can lose answers: those in flight, one a thread.)
"""

import contextlib
import multiprocessing
import os
import queue
import random
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from components.generate.answers import Answers
from components.generate.budget import CHARACTERS_A_TOKEN, OVERHEAD, Budget, characters
from components.generate.config import GenerateConfig
from components.generate.groq import Busy, GroqTeacher, TooLarge, Unwell
from components.generate.limits import DayIsOver, Pace
from components.generate.teacher import Payload
from components.generate.turn import turn
from components.shared.errors import ArxtuneError, TeacherError
from components.shared.records import digest
from components.shared.store import open_store

SIZE_TRIES = 3  # after a 413, should it have been a moment's: nothing is paid for them
# Forked, so that asking starts at once; the stage runs no threads of its own by then.
_PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Event:
    """What became of one request: its answer is kept, or `problem` says why there is none."""

    key: str
    problem: str = ""
    new: bool = False  # paid for now, by this run


@dataclass(frozen=True)
class Stop:
    """Why asking ended early: an error to show."""

    problem: str
    fix: str = ""


def ask_all(
    config: GenerateConfig, payloads: dict[str, Payload], spent: int = 0
) -> Iterator[Event]:
    """Have every payload answered and kept in the store; yield an event for each, as they end.

    `spent` are the tokens of the budget that the run has paid for before.

    Raises TeacherError when the teacher refuses for good; all that was answered by then is kept.
    """
    ours, theirs = _PROCESSES.Pipe()
    child = _PROCESSES.Process(
        target=_child, args=(theirs, ours, config, payloads, spent), daemon=False
    )
    child.start()
    theirs.close()
    try:
        while True:
            message = ours.recv()
            if isinstance(message, Stop):
                raise TeacherError(message.problem, message.fix)
            if message is None:
                return
            yield message
    except EOFError:
        raise TeacherError(
            "the process that asks the teacher was killed", "run again: answers so far are kept"
        ) from None
    finally:
        ours.close()  # where it still asks, it stops
        child.join()


def _child(
    pipe: Connection,
    others: Connection,
    config: GenerateConfig,
    payloads: dict[str, Payload],
    spent: int,
) -> None:
    others.close()
    os.setsid()  # signals to the stage's group are not for this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asker = Asker(config, spent)
    signal.signal(signal.SIGTERM, lambda *_: asker.stop())
    threading.Thread(target=_watch, args=(pipe, asker), daemon=True).start()
    try:
        for event in asker.run(payloads):
            with contextlib.suppress(
                OSError
            ):  # the stage is gone; what is under way is kept all the same
                pipe.send(event)
        last: Stop | None = asker.stopped_by
    except ArxtuneError as error:
        last = Stop(error.problem, error.fix)
    with contextlib.suppress(OSError):
        pipe.send(last)


def _watch(pipe: Connection, asker: "Asker") -> None:
    """Stop asking when the stage's end of the pipe is closed: the stage sends nothing, so that is all it can mean."""
    wait([pipe])
    asker.stop()


class Asker:
    """Asks with many threads, within limits and budget."""

    def __init__(self, config: GenerateConfig, spent: int) -> None:
        self._config = config
        self._teacher = GroqTeacher(
            config.teacher_model,
            config.teacher_url,
            config.max_answer_tokens,
            config.answer_deadline_s,
        )
        self._answers = Answers(open_store(config.store))
        self._pace = Pace(config.max_in_flight, config.requests_per_minute)
        self._budget = Budget(config.max_tokens_total, spent)
        self._stopping = threading.Event()
        self._characters_a_token = CHARACTERS_A_TOKEN
        self.stopped_by: Stop | None = None

    def stop(self, reason: Stop | None = None) -> None:
        """Send nothing more."""
        self.stopped_by = self.stopped_by or reason
        self._stopping.set()
        self._pace.wake()

    def run(self, payloads: dict[str, Payload]) -> Iterator[Event]:
        """Ask for every payload whose answer is not in the store; yield events as they end."""
        account = digest([self._teacher.name, self._config.teacher_url])[:16]
        with turn(open_store(self._config.store), account, self._stopping.is_set):
            known = self._answers.get_all(payloads)
            yield from (Event(key) for key in known)
            todo: queue.SimpleQueue[tuple[str, Payload]] = queue.SimpleQueue()
            for key, payload in payloads.items():
                if key not in known:
                    todo.put((key, payload))
            yield from self._drain(todo)

    def _drain(self, todo: "queue.SimpleQueue[tuple[str, Payload]]") -> Iterator[Event]:
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        count = min(self._config.max_in_flight, todo.qsize())
        for _ in range(count):
            threading.Thread(target=self._work, args=(todo, events), daemon=True).start()
        while count:
            event = events.get()
            if event is None:
                count -= 1
            else:
                yield event

    def _work(
        self,
        todo: "queue.SimpleQueue[tuple[str, Payload]]",
        events: "queue.SimpleQueue[Event | None]",
    ) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    key, payload = todo.get_nowait()
                except queue.Empty:
                    return
                if event := self._answer(key, payload):
                    events.put(event)
        except ArxtuneError as error:
            self.stop(Stop(error.problem, error.fix))
        except DayIsOver as over:
            hours = over.args[0] / 3600
            self.stop(
                Stop(
                    f"the teacher's quota of the day is used up, for {hours:.1f} h",
                    "run again then: answers are kept",
                )
            )
        except BaseException as error:
            self.stop(Stop(f"asking failed: {type(error).__name__}: {error}"))
            raise
        finally:
            events.put(None)

    def _answer(self, key: str, payload: Payload) -> Event | None:
        """Ask until there is an answer, and keep it; None when stopped meanwhile."""
        failures = too_large = 0
        while True:
            if not self._budget.reserve(payload):
                return Event(key, "token budget used up (max_tokens_total)")
            try:
                kept = self._send(key, payload)
            except Busy as busy:
                failures += not self._pace.refused(str(busy), busy.retry_after)
                problem = "asks to wait (429)"
            except TooLarge as large:
                too_large += 1
                if too_large > SIZE_TRIES:
                    return Event(
                        key, f"page refused as too large for the teacher (413): {large}"[:200]
                    )
                continue
            except Unwell as unwell:
                failures, problem = failures + 1, str(unwell)
            else:
                return Event(key, new=True) if kept else None
            if failures > self._config.retries:
                raise TeacherError(
                    f"the teacher {problem}, {failures} times for one page",
                    "run again later: answers so far are kept",
                )
            if failures and self._stopping.wait(self._backoff(failures)):
                return None

    def _send(self, key: str, payload: Payload) -> bool:
        """Send one request when limits allow and keep its answer; return False when stopped meanwhile."""
        spent, headers, number = 0, None, None
        try:
            number = self._pace.enter(self._estimate(payload), self._stopping.is_set)
            if number is None:
                return False
            reply, headers = self._teacher.ask_once(payload)
            self._answers.put(key, reply)
            spent = reply.tokens
            self._learn(payload, reply.prompt_tokens)
            return True
        finally:
            if number is not None:
                self._pace.leave(number, spent=spent, headers=headers, good=headers is not None)
            self._budget.settle(payload, spent)

    def _estimate(self, payload: Payload) -> int:
        """Return the tokens that the teacher will count for a request before it knows how long the answer is."""
        prompt = characters(payload) / self._characters_a_token + OVERHEAD
        return int(prompt + payload["max_completion_tokens"])

    def _learn(self, payload: Payload, prompt_tokens: int) -> None:
        if prompt_tokens > OVERHEAD:
            measured = characters(payload) / prompt_tokens
            self._characters_a_token += 0.2 * (
                min(measured, 2 * CHARACTERS_A_TOKEN) - self._characters_a_token
            )

    def _backoff(self, failures: int) -> float:
        """Return seconds: doubled with each failure up to 32 times, spread so that threads do not return together."""
        return self._config.backoff_s * min(32.0, 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)
