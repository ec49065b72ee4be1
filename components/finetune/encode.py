"""Examples as the trainer reads them, and those that are too long for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.shared import prompt
from components.shared.prompt import IGNORE
from components.shared.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["IGNORE", "Encoded", "encode", "split_by_length"]


@dataclass(frozen=True)
class Encoded:
    """One example: `labels` are `input_ids` over completion and end token, IGNORE elsewhere."""

    triple: str
    paper: str
    input_ids: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def taught(self) -> int:
        """Return how many tokens the loss covers."""
        return len(self.labels) - self.labels.count(IGNORE)

    def row(self) -> dict[str, list[int]]:
        """Return what the trainer reads."""
        return {"input_ids": self.input_ids, "labels": self.labels}


def encode(tokenizer: "PreTrainedTokenizerBase", examples: Sequence[Example]) -> list[Encoded]:
    """Return every example as tokens, in order; nothing is cut."""
    rows = []
    for example in examples:
        tokens = prompt.encode(tokenizer, example.prompt, example.completion)
        rows.append(Encoded(example.triple, example.paper, tokens.input_ids, tokens.labels))
    return rows


def split_by_length(
    encoded: Sequence[Encoded], max_length: int
) -> tuple[list[Encoded], list[Encoded]]:
    """Return the examples that fit into `max_length` tokens, and those that do not."""
    fitting: list[Encoded] = []
    too_long: list[Encoded] = []
    for example in encoded:
        part = fitting if len(example) <= max_length else too_long
        part.append(example)
    return fitting, too_long
