"""What asking costs: a forecast before, caps on the way, a bill after."""

import threading
from collections.abc import Iterable

from components.generate.teacher import Payload, Reply
from components.shared.teachers import Plan, TeacherFacts, batch_discount, plan

CHARACTERS_A_TOKEN = 4.0  # of English prose, until the answers tell better
OVERHEAD = 64  # tokens that a chat format and a schema add to a request
# Tokens of three triples: their passages are as long as the page allows, up to six sentences each.
SHORTEST_ANSWER, LONGEST_ANSWER, ANSWER_A_CHARACTER = 100, 390, 0.2
USUAL_REASONING = 300  # tokens at low effort


def prompt_characters(payload: Payload) -> int:
    """Return the characters of a request's messages."""
    return sum(len(message["content"]) for message in payload["messages"])


def prompt_tokens(payload: Payload, characters_a_token: float = CHARACTERS_A_TOKEN) -> float:
    """Return the tokens that a request's messages are expected to count."""
    return prompt_characters(payload) / characters_a_token + OVERHEAD


def most_prompt_tokens(payload: Payload) -> int:
    """Return the most that a prompt can count: a token has at least one byte."""
    return OVERHEAD + sum(len(m["content"].encode("utf-8")) for m in payload["messages"])


def answer_tokens(payload: Payload) -> float:
    """Return the tokens that an answer is expected to count, its reasoning among them."""
    page = payload["messages"][-1]["content"]
    answer = min(SHORTEST_ANSWER + ANSWER_A_CHARACTER * len(page), LONGEST_ANSWER)
    reasoning = USUAL_REASONING if "reasoning_effort" in payload else 0
    return float(min(answer + reasoning, payload["max_completion_tokens"]))


def cost(facts: TeacherFacts, reply: Reply) -> float | None:
    """Return the dollars of one answer, or None where the model's price is not known."""
    price = facts.dollars(reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
    return price if price is None or not reply.batch else price * (1 - batch_discount())


class Budget:
    """Hard caps on tokens and dollars, 0 for none: nothing that could pass one is sent."""

    def __init__(
        self, facts: TeacherFacts, max_tokens: int, max_dollars: float, *, batch: bool = False
    ) -> None:
        self.facts, self.max_tokens, self.max_dollars = facts, max_tokens, max_dollars
        self._share = 1 - batch_discount() if batch else 1.0  # of the price
        self.day_tokens = 0  # of a plan whose day is all that is asked for
        self.tokens, self.dollars = 0, 0.0
        self._reserved_tokens, self._reserved_dollars = 0, 0.0
        self._settled = threading.Condition()

    def refuses(self, payload: Payload) -> str:
        """Return "", or the reason why a request could pass a cap even if those under way cost
        nothing."""
        return self._passes(*self._most(payload))

    def reserve(self, payload: Payload, *, wait: bool = True) -> str:
        """Set aside what a request can cost; return "", or the reason why no cap allows it.

        Requests under way mostly cost less than was set aside for them, so with `wait` their ends
        are waited for.
        """
        tokens, dollars = self._most(payload)
        with self._settled:
            while reason := self._passes(
                tokens + self._reserved_tokens, dollars + self._reserved_dollars
            ):
                if not wait or self._passes(tokens, dollars):
                    return reason
                self._settled.wait()
            self._reserved_tokens += tokens
            self._reserved_dollars += dollars
        return ""

    def settle(self, payload: Payload, reply: Reply | None) -> None:
        """Book what a request did cost."""
        tokens, dollars = self._most(payload)
        with self._settled:
            self._reserved_tokens -= tokens
            self._reserved_dollars -= dollars
            if reply is not None:
                self.book(reply)
            self._settled.notify_all()

    def book(self, reply: Reply) -> None:
        """Count an answer as paid."""
        self.tokens += reply.tokens
        self.dollars += cost(self.facts, reply) or 0.0

    def _passes(self, tokens: int, dollars: float) -> str:
        if self.max_dollars and self.dollars + dollars > self.max_dollars:
            return "spending cap reached (max_dollars)"
        if self.max_tokens and self.tokens + tokens > self.max_tokens:
            return "token budget used up (max_tokens_total)"
        if self.day_tokens and self.tokens + tokens > self.day_tokens:
            return "left for another day: the plan's tokens of a day are used up"
        return ""

    def _most(self, payload: Payload) -> tuple[int, float]:
        prompt, completion = most_prompt_tokens(payload), int(payload["max_completion_tokens"])
        dollars = self.facts.dollars(prompt, completion) or 0.0
        return prompt + completion, dollars * self._share


def forecast(
    facts: TeacherFacts, payloads: Iterable[Payload], *, batch: bool = False
) -> tuple[str, dict[str, float]]:
    """Return a line on expected cost and time of these requests, and its figures."""
    asked = list(payloads)
    prompt = sum(prompt_tokens(payload) for payload in asked)
    completion = sum(answer_tokens(payload) for payload in asked)
    longest = sum(payload["max_completion_tokens"] for payload in asked)
    tokens = prompt + completion
    line = f"forecast: {len(asked)} pages to ask about, about {tokens:,.0f} tokens"
    figures: dict[str, float] = {"forecast tokens": round(tokens)}
    share = 1 - batch_discount() if batch else 1.0
    rules = len(asked[0]["messages"][0]["content"]) / CHARACTERS_A_TOKEN  # the same in all of them
    dollars = facts.dollars(prompt, completion, rules * (len(asked) - 1))
    most = facts.dollars(prompt, longest)
    if dollars is not None and most is not None:
        figures["forecast dollars"] = round(dollars * share, 4)
        line += f", ${dollars * share:.2f} (${most * share:.2f} if all answers are longest)"
    else:
        line += ", at a price that is not known: max_tokens_total is the only cap"
    if batch:
        return f"{line}; in a batch", figures
    free, developer = plan("free"), plan("developer")
    days, minutes = (
        _minutes(free, len(asked), tokens) / 1440,
        _minutes(developer, len(asked), tokens),
    )
    line += f"; {days:.1f} days on the free plan" if days > 1 else ""
    return f"{line}; {max(minutes, 1):.0f} min on the developer plan", figures


def _minutes(limits: Plan, requests: int, tokens: float) -> float:
    """Return the minutes that a plan's limits make so many requests take."""
    minutes = max(requests / limits.requests_a_minute, tokens / limits.tokens_a_minute)
    if limits.tokens_a_day and limits.requests_a_day:
        days = max(requests / limits.requests_a_day, tokens / limits.tokens_a_day)
        minutes = max(minutes, days * 1440 if days > 1 else 0)
    return minutes


def bill(facts: TeacherFacts, replies: Iterable[Reply]) -> dict[str, float]:
    """Return the tokens of these answers and, at a known price, their dollars."""
    paid = list(replies)
    account: dict[str, float] = {
        "prompt": sum(reply.prompt_tokens for reply in paid),
        "completion": sum(reply.completion_tokens for reply in paid),
    }
    costs = [cost(facts, reply) for reply in paid]
    if None not in costs:
        account["dollars"] = round(sum(filter(None, costs)), 4)
    return account
