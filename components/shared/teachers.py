"""The teacher models of teachers.toml: terms, prices, abilities, and what replaced them."""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from components.shared.licences import model_licence

FACTS = Path(__file__).with_name("teachers.toml")
AUTO = "auto"  # as a model's name: the first of the list that the server lists
EMBEDDED = "embedded"
# Who writes: `groq` is any server of OpenAI's protocol; the others are code of ours, and what they
# write costs nothing and comes under these terms.
Kind = Literal["groq", "embedded"]
OURS = {EMBEDDED: "Apache-2.0"}
STALE_DAYS = 90  # after which the facts want to be read again


@dataclass(frozen=True, kw_only=True)
class TeacherFacts:
    """One model; a price of None and a limit of 0 are not known."""

    model: str
    licence: str  # the terms that its answers come under: a name of licences.py
    input: float | None = None  # dollars a million tokens
    cached_input: float | None = None
    output: float | None = None
    context: int = 0  # tokens of question and answer together
    longest_answer: int = 0  # tokens
    schema: str = ""  # "strict" where answers are held to a JSON schema
    reasoning_effort: str = ""  # the least that the model takes, or "" where it does not reason
    batch: bool = False  # takes part in Groq's Batch API
    retired_on: date | None = None
    replaced_by: str = ""

    def dollars(self, prompt: float, completion: float, cached: float = 0) -> float | None:
        """Return what so many tokens cost, or None; `cached` ones of the prompt cost less."""
        if self.input is None or self.output is None:
            return None
        cached_price = self.input if self.cached_input is None else self.cached_input
        question = (prompt - cached) * self.input + cached * cached_price
        return (question + completion * self.output) / 1e6


@dataclass(frozen=True)
class Plan:
    """The limits of an account; 0 is none."""

    name: str
    requests_a_minute: int = 0
    requests_a_day: int = 0
    tokens_a_minute: int = 0
    tokens_a_day: int = 0


def teacher(model: str) -> TeacherFacts:
    """Return what is known of a model; of one that is not listed, the terms that its name tells."""
    if model in OURS:
        return TeacherFacts(model=model, licence=OURS[model], input=0.0, output=0.0)
    if model == AUTO:
        return ranked()[0]
    facts: dict[str, Any] = _facts()["models"].get(model, {"licence": model_licence(model)})
    return TeacherFacts(model=model, **facts)


def terms(kind: str, model: str) -> str:
    """Return the terms of what a stage with these settings has written."""
    return teacher(kind if kind in OURS else model).licence


def ranked() -> list[TeacherFacts]:
    """Return the models that are still served, the best first."""
    found = [teacher(model) for model in _facts()["models"]]
    return [facts for facts in found if facts.retired_on is None]


def plan(name: str) -> Plan:
    """Return the limits of an account: "free" or "developer"."""
    return Plan(name, **_facts()["plans"][name])


def batch_discount() -> float:
    """Return the share of the price that a batch saves."""
    return float(_facts()["batch_discount"])


def age_days(today: date) -> int:
    """Return how old the facts are; above STALE_DAYS they want to be read again."""
    read: date = _facts()["read"]
    return (today - read).days


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(FACTS.read_text("utf-8"))
