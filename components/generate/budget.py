"""What asking costs: a forecast before, caps on the way, a bill after."""

import threading
from collections.abc import Collection

from components.generate.teacher import Payload, Reply
from components.shared.teachers import TeacherFacts, batch_discount, plan

CHARACTERS_A_TOKEN = 4.0  # of English prose
OVERHEAD = 64  # tokens that a chat format and a schema add to a request
# Tokens of three triples: their passages are as long as the page allows, up to six sentences each.
SHORTEST_ANSWER, LONGEST_ANSWER, ANSWER_A_CHARACTER = 100, 390, 0.2
USUAL_REASONING = 300  # tokens at low effort
BATCH_SHARE = 1 - batch_discount()  # of the price


def prompt_tokens(payload: Payload) -> float:
    """Return the tokens that a request's messages are expected to count."""
    characters = sum(len(message["content"]) for message in payload["messages"])
    return characters / CHARACTERS_A_TOKEN + OVERHEAD


def most_prompt_tokens(payload: Payload) -> int:
    """Return the most that a prompt can count: a token has at least one byte."""
    return OVERHEAD + sum(len(m["content"].encode("utf-8")) for m in payload["messages"])


def answer_tokens(payload: Payload) -> float:
    """Return the tokens that an answer is expected to count, its reasoning among them."""
    page = payload["messages"][-1]["content"]
    answer = min(SHORTEST_ANSWER + ANSWER_A_CHARACTER * len(page), LONGEST_ANSWER)
    if "reasoning_effort" in payload:
        answer += USUAL_REASONING
    return float(min(answer, payload["max_completion_tokens"]))


class Budget:
    """Hard caps on tokens and dollars, 0 for none: nothing that could pass one is sent.

    `share` is the share of the price that a request is paid at.
    """

    def __init__(self, facts: TeacherFacts, max_tokens: int, max_dollars: float) -> None:
        self.facts, self.max_tokens, self.max_dollars = facts, max_tokens, max_dollars
        self.day_tokens = 0  # of a plan whose day is all that is asked for
        self.prompt = self.completion = 0  # tokens paid for
        self.dollars = 0.0
        self._reserved_tokens, self._reserved_dollars = 0, 0.0
        self._changed = threading.Condition()

    def refuses(self, payload: Payload) -> str:
        """Return "", or why a request could pass a cap even if those under way cost nothing."""
        return self._passes(*self._most(payload, 1.0))

    def reserve(self, payload: Payload, share: float = 1.0, *, wait: bool = True) -> str:
        """Set aside what a request can cost; return "", or the reason why no cap allows it.

        Requests under way mostly cost less than was set aside for them, so with `wait` their ends
        are waited for.
        """
        tokens, dollars = self._most(payload, share)
        with self._changed:
            while reason := self._passes(
                tokens + self._reserved_tokens, dollars + self._reserved_dollars
            ):
                if not wait or self._passes(tokens, dollars):
                    return reason
                self._changed.wait()
            self._reserved_tokens += tokens
            self._reserved_dollars += dollars
        return ""

    def release(self, payload: Payload, share: float = 1.0) -> None:
        """Take back what was set aside for a request that has ended."""
        tokens, dollars = self._most(payload, share)
        with self._changed:
            self._reserved_tokens -= tokens
            self._reserved_dollars -= dollars
            self._changed.notify_all()

    def book(self, reply: Reply, share: float = 1.0) -> None:
        """Count an answer as paid."""
        tokens = reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens
        with self._changed:
            self.prompt += reply.prompt_tokens
            self.completion += reply.completion_tokens
            self.dollars += share * (self.facts.dollars(*tokens) or 0.0)

    def bill(self) -> dict[str, float]:
        """Return the tokens that were paid for and, at a known price, their dollars."""
        account: dict[str, float] = {"prompt": self.prompt, "completion": self.completion}
        if self.facts.dollars(0, 0) is not None:
            account["dollars"] = round(self.dollars, 4)
        return account

    def _passes(self, tokens: int, dollars: float) -> str:
        tokens += self.prompt + self.completion
        if self.max_dollars and self.dollars + dollars > self.max_dollars:
            return "spending cap reached (max_dollars)"
        if self.max_tokens and tokens > self.max_tokens:
            return "token budget used up (max_tokens_total)"
        if self.day_tokens and tokens > self.day_tokens:
            return "left for another day: the plan's tokens of a day are used up"
        return ""

    def _most(self, payload: Payload, share: float) -> tuple[int, float]:
        prompt, completion = most_prompt_tokens(payload), int(payload["max_completion_tokens"])
        return prompt + completion, share * (self.facts.dollars(prompt, completion) or 0.0)


def forecast(
    facts: TeacherFacts, payloads: Collection[Payload], share: float
) -> tuple[str, dict[str, float]]:
    """Return a line on expected cost and time of these requests, and its figures."""
    prompt = sum(map(prompt_tokens, payloads))
    completion = sum(map(answer_tokens, payloads))
    first = next(iter(payloads))
    rules = len(first["messages"][0]["content"]) / CHARACTERS_A_TOKEN  # the same in all: cached
    tokens = prompt + completion
    line = f"forecast: {len(payloads)} pages to ask about, about {tokens:,.0f} tokens"
    figures: dict[str, float] = {"forecast tokens": round(tokens)}
    dollars = facts.dollars(prompt, completion, rules * (len(payloads) - 1))
    if dollars is None:
        line += ", at a price that is not known: max_tokens_total is the only cap"
    else:
        figures["forecast dollars"] = round(dollars * share, 4)
        line += f", ${dollars * share:.2f}"
    if share < 1:
        return f"{line}; in a batch", figures
    days = _minutes("free", len(payloads), tokens) / 1440
    if days > 1:
        line += f"; {days:.1f} days on the free plan"
    minutes = max(1, _minutes("developer", len(payloads), tokens))
    return f"{line}; {minutes:.0f} min on the developer plan", figures


def _minutes(name: str, requests: int, tokens: float) -> float:
    """Return the minutes that a plan's limits make so many requests take."""
    limits = plan(name)
    minutes = max(requests / limits.requests_a_minute, tokens / limits.tokens_a_minute)
    if limits.tokens_a_day:
        days = max(requests / limits.requests_a_day, tokens / limits.tokens_a_day)
        if days > 1:
            minutes = max(minutes, days * 1440)
    return minutes
