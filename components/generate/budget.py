"""What asking costs: a forecast before, a cap on the way, a bill after."""

import threading
import tomllib
from collections.abc import Iterable
from pathlib import Path

from components.generate.teacher import Payload, Reply

PRICES = Path(__file__).with_name("prices.toml")
CHARACTERS_A_TOKEN = 4.0  # of English prose, until the answers tell better
OVERHEAD = 32  # tokens that a chat format adds to a request, at most
USUAL_ANSWER = 400  # tokens of an answer with three triples


def characters(payload: Payload) -> int:
    """Return the characters of a request's messages."""
    return sum(len(message["content"]) for message in payload["messages"])


def most_tokens(payload: Payload) -> int:
    """Return what a request can cost at the very most: no tokenizer makes more tokens than there are bytes."""
    size = sum(len(message["content"].encode("utf-8")) for message in payload["messages"])
    return size + OVERHEAD + int(payload["max_completion_tokens"])


class Budget:
    """A hard cap on tokens: nothing is sent that could pass it. 0 means no cap. Safe to use from many threads."""

    def __init__(self, cap: int, spent: int = 0) -> None:
        self.cap, self.spent = cap, spent
        self._reserved = 0
        self._settled = threading.Condition()

    def reserve(self, payload: Payload) -> bool:
        """Set aside what a request can cost; return False when the cap does not allow it.

        Requests under way mostly cost less than was set aside for them, so their ends are waited for.
        """
        most = most_tokens(payload)
        with self._settled:
            while self.cap and self.spent + self._reserved + most > self.cap:
                if self.spent + most > self.cap:
                    return False
                self._settled.wait()
            self._reserved += most
            return True

    def settle(self, payload: Payload, spent: int) -> None:
        """Book what a request did cost."""
        with self._settled:
            self._reserved -= most_tokens(payload)
            self.spent += spent
            self._settled.notify_all()


def cost(model: str, prompt_tokens: float, completion_tokens: float) -> float | None:
    """Return the dollars that so many tokens cost, or None when the price of the model is not known."""
    price = tomllib.loads(PRICES.read_text("utf-8")).get(model)
    return (
        None
        if price is None
        else (prompt_tokens * price["input"] + completion_tokens * price["output"]) / 1e6
    )


def forecast(model: str, payloads: Iterable[Payload]) -> str:
    """Return one line: what these requests are expected to cost, and at most."""
    asked = list(payloads)
    prompt = sum(characters(payload) / CHARACTERS_A_TOKEN + OVERHEAD for payload in asked)
    usual = sum(min(USUAL_ANSWER, payload["max_completion_tokens"]) for payload in asked)
    longest = sum(payload["max_completion_tokens"] for payload in asked)
    dollars, most = cost(model, prompt, usual), cost(model, prompt, longest)
    money = (
        ""
        if dollars is None or most is None
        else f", about ${dollars:.2f} (${most:.2f} if all answers are longest)"
    )
    return f"forecast: {len(asked)} pages to ask about, about {prompt + usual:,.0f} tokens{money}"


def bill(model: str, replies: Iterable[Reply]) -> dict[str, float]:
    """Return the tokens of these answers and, where the price is known, what they cost in dollars."""
    paid = list(replies)
    prompt, completion = sum(r.prompt_tokens for r in paid), sum(r.completion_tokens for r in paid)
    dollars = cost(model, prompt, completion)
    return {"prompt": prompt, "completion": completion} | (
        {} if dollars is None else {"dollars": round(dollars, 4)}
    )
