"""Collect answers: from the store where they were paid for, else from the teacher and through the store."""

from collections.abc import Iterator
from typing import Any

from components.generate.answers import Answers
from components.generate.budget import bill, forecast
from components.generate.config import GenerateConfig
from components.generate.teacher import Payload, Reply, Request, Teacher
from components.generate.triples import parse
from components.shared.progress import Progress, say
from components.shared.store import open_store

OTHER_WAYS = 3  # in which a page is asked about again when the answer cannot be read
Answer = Reply | str  # or the reason why there is none


class Collector:
    """Gets the answers of one run and keeps its account."""

    def __init__(self, config: GenerateConfig, teacher: Teacher) -> None:
        self._config, self._teacher = config, teacher
        self._answers = Answers(open_store(config.store))
        self._bought: list[Reply] = []
        self._stored: list[Reply] = []

    def answers(self, requests: list[Request]) -> list[Answer]:
        """Return the answer to each request; one that cannot be read is asked for again in another way, a few times."""
        payloads = [self._teacher.payload(request) for request in requests]
        found = self._collect(payloads)
        asked = dict(
            zip(map(Answers.key, payloads), payloads, strict=True)
        )  # the latest way, by the first one's key
        for _ in range(OTHER_WAYS):
            asked = {
                key: other
                for key, payload in asked.items()
                if isinstance(reply := found[key], Reply)
                and (reply.cut or parse(reply.text) is None)
                if (other := self._teacher.again(payload, reply)) is not None
            }
            better = self._collect(list(asked.values()))
            for key, other in asked.items():
                reply = better[Answers.key(other)]
                if isinstance(reply, Reply) and parse(reply.text) is not None:
                    found[key] = reply
        return [found[Answers.key(payload)] for payload in payloads]

    @property
    def facts(self) -> dict[str, Any]:
        """Return how many answers came from where, and what the new ones and all of them cost."""
        facts: dict[str, Any] = {
            "answers asked for": len(self._bought),
            "answers from the store": len(self._stored),
        }
        if self._teacher.paid:
            for name, replies in (
                ("this run", self._bought),
                ("all answers", [*self._bought, *self._stored]),
            ):
                account = bill(self._config.teacher_model, replies)
                facts |= {f"{what}, {name}": amount for what, amount in account.items()}
        return facts

    def _collect(self, payloads: list[Payload]) -> dict[str, Answer]:
        """Return the answer, or why there is none, under the key of each payload."""
        wanted = {Answers.key(payload): payload for payload in payloads}
        stored = self._answers.get_all(wanted)
        self._stored += stored.values()
        found: dict[str, Answer] = dict(stored)
        missing = {key: payload for key, payload in wanted.items() if key not in found}
        if missing:
            progress = Progress("generate", "pages", len(missing))
            for key, answer in self._buy(missing) if self._teacher.paid else self._make(missing):
                found[key] = answer
                progress.step()
        return found

    def _make(self, payloads: dict[str, Payload]) -> Iterator[tuple[str, Answer]]:
        """Yield the answers of a teacher that costs nothing."""
        for key, payload in payloads.items():
            reply = self._teacher.ask(payload)
            self._answers.put(key, reply)
            self._bought.append(reply)
            yield key, reply

    def _buy(self, payloads: dict[str, Payload]) -> Iterator[tuple[str, Answer]]:
        """Yield the answers of a teacher that is paid for."""
        from components.generate.asker import ask_all

        say("generate", forecast(self._config.teacher_model, payloads.values()))
        spent = sum(reply.tokens for reply in self._bought)
        for event in ask_all(self._config, payloads, spent):
            reply = None if event.problem else self._answers.get(event.key)
            if reply is not None:
                (self._bought if event.new else self._stored).append(reply)
            yield event.key, reply or event.problem or "the answer is gone from the store"
        account = bill(self._config.teacher_model, self._bought)
        say(
            "generate",
            "bill: " + ", ".join(f"{amount:,} {what}" for what, amount in account.items()),
        )
