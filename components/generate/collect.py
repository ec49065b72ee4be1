"""Collect answers: from the store where they were paid for, else from the teacher."""

import contextlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from components.generate.asker import Asker
from components.generate.batch import Batches
from components.generate.budget import BATCH_SHARE, Budget, forecast
from components.generate.config import GenerateConfig
from components.generate.embedded import EmbeddedTeacher
from components.generate.groq import GroqTeacher
from components.generate.teacher import Answer, Payload, Reply, Request
from components.generate.triples import parse
from components.shared.progress import Progress, say
from components.shared.records import digest
from components.shared.store import open_store

READERS = 16  # answers read from the store at a time
AnyTeacher = GroqTeacher | EmbeddedTeacher


class Collector:
    """Gets the answers of one run; each is in the store, under the hash of its request."""

    def __init__(self, config: GenerateConfig, teacher: AnyTeacher) -> None:
        self._config, self._teacher = config, teacher
        self._store = open_store(config.store)
        self._asked = self._stored = 0
        self._forecast: dict[str, float] = {}
        self._budget = Budget(teacher.facts, config.max_tokens_total, config.max_dollars)

    def answers(self, requests: list[Request]) -> dict[Request, Answer]:
        """Return the answer to each request, asked in this order; again where it is damaged."""
        payloads = {request: self._teacher.payload(request) for request in requests}
        keys = {request: digest(payload) for request, payload in payloads.items()}
        found = self._collect({keys[request]: payload for request, payload in payloads.items()})
        others: dict[str, tuple[str, Payload]] = {}  # the key of the first answer -> the second
        for request, payload in payloads.items():
            reply = found[keys[request]]
            if isinstance(reply, Reply) and _damaged(reply):
                other = self._teacher.again(payload, reply)
                if other is not None:
                    others[keys[request]] = digest(other), other
        better = self._collect(dict(others.values()), live=True)
        for key, (other_key, _) in others.items():
            first, second = found[key], better[other_key]
            if isinstance(first, Reply) and isinstance(second, Reply):
                found[key] = max(first, second, key=_whole_drafts)
        return {request: found[key] for request, key in keys.items()}

    @property
    def facts(self) -> dict[str, float]:
        """Return how many answers came from where, and what the new ones cost."""
        facts: dict[str, float] = {
            "answers asked for": self._asked,
            "answers from the store": self._stored,
        }
        if isinstance(self._teacher, GroqTeacher):
            for what, amount in self._budget.bill().items():
                facts[f"{what}, this run"] = amount
        return facts | self._forecast

    def _collect(self, wanted: dict[str, Payload], live: bool = False) -> dict[str, Answer]:
        """Return the answer, or why there is none, under the key of each payload."""
        found: dict[str, Answer] = {}
        with ThreadPoolExecutor(READERS) as pool:
            for key, stored in zip(wanted, pool.map(self._read, wanted), strict=True):
                if stored is not None:
                    found[key] = stored
        self._stored += len(found)
        missing = {key: payload for key, payload in wanted.items() if key not in found}
        if missing:
            progress = Progress("generate", "pages", len(missing))
            with contextlib.closing(self._ask(missing, live)) as answers:
                for key, answer in answers:
                    found[key] = answer
                    self._asked += isinstance(answer, Reply)
                    progress.step()
        return found

    def _ask(
        self, missing: dict[str, Payload], live: bool
    ) -> Generator[tuple[str, Answer], None, None]:
        """Yield the answers that are not in the store."""
        if isinstance(self._teacher, EmbeddedTeacher):
            for key, payload in missing.items():
                yield key, self._keep(key, self._teacher.ask(payload))
            return
        source: Asker | Batches = Asker(self._config, self._teacher, self._budget, self._keep)
        share = 1.0
        if self._config.teacher_mode == "batch" and not live:
            source = Batches(self._config, self._teacher, self._store, self._budget, self._keep)
            share = BATCH_SHARE
        line, figures = forecast(self._teacher.facts, missing.values(), share)
        say("generate", line)
        self._forecast = self._forecast or figures
        with contextlib.closing(source.run(missing)) as answers:
            yield from answers
        account = [f"{amount:,} {what}" for what, amount in self._budget.bill().items()]
        say("generate", "bill: " + ", ".join(account))

    def _read(self, key: str) -> Reply | None:
        """Return an answer of the store, or None when there is none that can be read."""
        row = self._store.get_json(f"answers/{key}.json")
        with contextlib.suppress(Exception):  # whatever was written there: it is asked for again
            reply = Reply(**row)
            parse(reply.text, cut=reply.cut)
            return reply
        return None

    def _keep(self, key: str, reply: Reply) -> Answer:
        """Keep an answer before anything uses it, once it has been read without an error."""
        if not reply.tokens and isinstance(
            self._teacher, GroqTeacher
        ):  # an error: next time it may be another
            return reply
        try:
            parse(reply.text, cut=reply.cut)
        except Exception as error:  # no answer may end a run, nor wait in the store for the next
            return f"the answer cannot be read ({type(error).__name__})"
        self._store.put_json(f"answers/{key}.json", asdict(reply))
        return reply


def _damaged(reply: Reply) -> bool:
    drafts = parse(reply.text, cut=reply.cut)
    return reply.cut or drafts is None or not all(draft.whole for draft in drafts)


def _whole_drafts(reply: Reply) -> int:
    drafts = parse(reply.text, cut=reply.cut)
    if drafts is None:
        return -1
    return sum(draft.whole for draft in drafts)
