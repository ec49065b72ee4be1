"""What a teacher is: something that reads one page and answers with tasks about it."""

from dataclasses import dataclass
from typing import Any, Protocol

Payload = dict[
    str, Any
]  # JSON-ready: all that decides an answer, so that its hash can name the answer


@dataclass(frozen=True)
class Request:
    """One page to write tasks about."""

    paper: str  # arXiv id
    version: int
    page: int
    text: str
    seed: int


@dataclass(frozen=True)
class Draft:
    """One task as the teacher wrote it, not checked yet."""

    instruction: str
    input: str
    output: str
    kind: str = "teacher's own"


@dataclass(frozen=True)
class Reply:
    """An answer, and the tokens that were paid for it."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False  # ended by the limit of tokens, not by the teacher

    @property
    def tokens(self) -> int:
        """Return all tokens paid for."""
        return self.prompt_tokens + self.completion_tokens


class Teacher(Protocol):
    """Writes tasks; the same payload gets the same answer as far as the teacher can promise that."""

    name: str
    licence: str  # what its answers come under
    prompt_hash: str  # changes whenever the same page would be asked about differently
    paid: bool  # asked over a network, with limits and a bill

    def payload(self, request: Request) -> Payload:
        """Return everything that decides the answer to a request."""

    def again(self, payload: Payload, reply: Reply) -> Payload | None:
        """Return another payload to ask once when `reply` cannot be read, or None when that would not help."""

    def ask(self, payload: Payload) -> Reply:
        """Return the answer; raise TeacherError when there is none to be had."""
