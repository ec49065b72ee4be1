"""What a teacher is: something that reads one page and answers with tasks about it."""

from dataclasses import dataclass
from typing import Any

# JSON-ready: all that decides an answer, so that its hash can name the answer.
Payload = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One page to write tasks about."""

    paper: str  # arXiv id
    version: int
    page: int
    text: str
    seed: int
    title: str = ""  # of the paper


@dataclass(frozen=True)
class Draft:
    """One task as the teacher wrote it, not checked yet."""

    instruction: str
    input: str
    output: str
    kind: str = "teacher's own"

    @property
    def whole(self) -> bool:
        """Tell whether nothing is missing; the input may be empty."""
        return bool(self.instruction and self.output)


@dataclass(frozen=True)
class Reply:
    """An answer, and the tokens that were paid for it."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0  # reasoning included
    cached_tokens: int = 0  # of the prompt, at the lower price
    cut: bool = False  # ended by the limit of tokens, not by the teacher
    problem: str = ""  # why there is no text, where the teacher says so

    @property
    def tokens(self) -> int:
        """Return all tokens paid for."""
        return self.prompt_tokens + self.completion_tokens


Answer = Reply | str  # or the reason why there is none
