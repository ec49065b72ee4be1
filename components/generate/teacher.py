"""What a teacher is: something that reads one page and answers with tasks about it."""

from dataclasses import dataclass
from typing import Protocol


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
    kind: str


class Teacher(Protocol):
    """Writes tasks; the same request gets the same answer as far as the teacher can promise that."""

    name: str
    licence: str  # what its answers come under
    prompt_hash: str  # changes whenever the same page would be asked about differently

    def ask(self, request: Request) -> str:
        """Return the answer, JSON {"triples": [...]}; raise TeacherError when there is none to be had."""
