"""Collect answers: from the store where they were paid for, else from the teacher."""

import contextlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from components.generate.asker import Answer, Asker
from components.generate.batch import Batches
from components.generate.budget import Budget, bill, forecast
from components.generate.config import GenerateConfig
from components.generate.embedded import EmbeddedTeacher
from components.generate.groq import GroqTeacher
from components.generate.teacher import Payload, Reply, Request
from components.generate.triples import parse
from components.shared.progress import Progress, say
from components.shared.records import digest
from components.shared.store import Store, open_store

READERS = 16  # answers read from the store at a time
Found = Generator[tuple[str, Answer], None, None]
AnyTeacher = GroqTeacher | EmbeddedTeacher


class Answers:
    """The answers in the store, under the hash of their request."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: str) -> Reply | None:
        """Return an answer, or None when there is none that can be read."""
        row = self._store.get_json(f"answers/{key}.json")
        with contextlib.suppress(Exception):  # whatever was written there: it is asked for again
            reply = Reply(**row)
            parse(reply.text, cut=reply.cut)
            return reply
        return None

    def put(self, key: str, reply: Reply) -> Answer:
        """Keep an answer that was paid for, once it has been read without an error."""
        try:
            parse(reply.text, cut=reply.cut)
        except (
            Exception
        ) as error:  # no answer may end a run, nor wait in the store for the next one
            return f"the answer cannot be read ({type(error).__name__})"
        self._store.put_json(f"answers/{key}.json", asdict(reply))
        return reply

    def get_all(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Return those of the answers that are there."""
        names = list(dict.fromkeys(keys))
        with ThreadPoolExecutor(READERS) as pool:
            found = zip(names, pool.map(self.get, names), strict=True)
            return {name: reply for name, reply in found if reply is not None}


class Collector:
    """Gets the answers of one run and keeps its account."""

    def __init__(self, config: GenerateConfig, teacher: AnyTeacher) -> None:
        self._config, self._teacher = config, teacher
        self._store = open_store(config.store)
        self._answers = Answers(self._store)
        self._new: dict[str, Reply] = {}
        self._stored: dict[str, Reply] = {}
        self._figures: dict[str, float] = {}
        if isinstance(teacher, GroqTeacher):
            caps = config.max_tokens_total, config.max_dollars
            self._budget = Budget(teacher.facts, *caps, batch=config.teacher_mode == "batch")

    def answers(self, requests: list[Request]) -> dict[Request, Answer]:
        """Return the answer to each request, asked in this order; again where it is damaged."""
        payloads = {request: self._teacher.payload(request) for request in requests}
        keys = {request: digest(payload) for request, payload in payloads.items()}
        found = self._collect({keys[request]: payload for request, payload in payloads.items()})
        others: dict[str, Payload] = {}
        for request, payload in payloads.items():
            reply = found[keys[request]]
            if isinstance(reply, Reply) and _damaged(reply):
                other = self._teacher.again(payload, reply)
                if other is not None:
                    others[keys[request]] = other
        better = self._collect({digest(other): other for other in others.values()}, live=True)
        for key, other in others.items():
            first, second = found[key], better[digest(other)]
            if isinstance(first, Reply) and isinstance(second, Reply):
                found[key] = max(first, second, key=_whole_drafts)
        return {request: found[key] for request, key in keys.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """Return how many answers came from where, and what the new ones and all of them cost."""
        facts: dict[str, Any] = {
            "answers asked for": len(self._new),
            "answers from the store": len(self._stored),
        }
        if isinstance(self._teacher, GroqTeacher):
            everything = [*self._new.values(), *self._stored.values()]
            for name, replies in (("this run", self._new.values()), ("all answers", everything)):
                account = bill(self._teacher.facts, replies)
                facts |= {f"{what}, {name}": amount for what, amount in account.items()}
        return facts | self._figures

    def _collect(self, wanted: dict[str, Payload], live: bool = False) -> dict[str, Answer]:
        """Return the answer, or why there is none, under the key of each payload."""
        stored = self._answers.get_all(wanted)
        self._stored |= stored
        found: dict[str, Answer] = dict(stored)
        missing = {key: payload for key, payload in wanted.items() if key not in found}
        if missing:
            progress = Progress("generate", "pages", len(missing))
            with contextlib.closing(self._get(missing, live)) as answers:
                for key, answer in answers:
                    found[key] = answer
                    progress.step()
        return found

    def _get(self, missing: dict[str, Payload], live: bool) -> Found:
        """Yield the answers that are not in the store."""
        if isinstance(self._teacher, EmbeddedTeacher):
            for key, payload in missing.items():
                yield key, self._keep(key, self._teacher.ask(payload))
            return
        batch = self._config.teacher_mode == "batch" and not live
        line, figures = forecast(self._teacher.facts, missing.values(), batch=batch)
        say("generate", line)
        self._figures = self._figures or figures
        source: Asker | Batches
        if batch:
            source = Batches(self._config, self._teacher, self._store, self._budget, self._keep)
        else:
            source = Asker(self._config, self._teacher, self._budget, self._keep)
        with contextlib.closing(source.run(missing)) as answers:
            yield from answers
        account = bill(self._teacher.facts, self._new.values()).items()
        say("generate", "bill: " + ", ".join(f"{amount:,} {what}" for what, amount in account))

    def _keep(self, key: str, reply: Reply) -> Answer:
        """Keep an answer as soon as it is there, before anything uses it."""
        self._new[key] = reply
        free = not reply.tokens and self._teacher.paid  # an error: next time it may be another
        return reply if free else self._answers.put(key, reply)


def _damaged(reply: Reply) -> bool:
    drafts = parse(reply.text, cut=reply.cut)
    return reply.cut or drafts is None or not all(draft.whole for draft in drafts)


def _whole_drafts(reply: Reply) -> int:
    drafts = parse(reply.text, cut=reply.cut)
    return -1 if drafts is None else sum(draft.whole for draft in drafts)
