"""Examples as tokens: what the model reads, and which of it the loss covers.

Prompt and completion are tokenised apart, so that training reads exactly the tokens that evaluation will: tokens
never merge over the border, and the label mask is exact whatever the tokenizer. The end token is part of every
completion; without it in the loss a model never learns to stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.records import Example

IGNORE = -100  # label of a position that the loss leaves out


@dataclass(frozen=True)
class Encoded:
    """One example: `labels` are `input_ids` over the completion and its end token, IGNORE elsewhere."""

    triple: str
    paper: str
    input_ids: list[int]
    labels: list[int]

    @property
    def taught(self) -> int:
        """Return how many tokens the loss covers."""
        return sum(label != IGNORE for label in self.labels)

    def row(self) -> dict[str, list[int]]:
        """Return what the trainer reads."""
        return {"input_ids": self.input_ids, "labels": self.labels}


def encode(tokenizer: Any, examples: Sequence[Example]) -> list[Encoded]:
    """Return every example as tokens, in order; nothing is cut."""
    if not examples:
        return []
    prompts = tokenizer([example.prompt for example in examples])["input_ids"]
    completions = tokenizer([example.completion for example in examples], add_special_tokens=False)[
        "input_ids"
    ]
    found = []
    for example, prompt, completion in zip(examples, prompts, completions, strict=True):
        taught = [*completion, tokenizer.eos_token_id]
        while (
            prompt and prompt[-1] == tokenizer.eos_token_id
        ):  # some tokenizers end whatever they encode
            prompt = prompt[:-1]
        found.append(
            Encoded(example.triple, example.paper, prompt + taught, [IGNORE] * len(prompt) + taught)
        )
    return found


def split_by_length(
    encoded: Sequence[Encoded], max_length: int
) -> tuple[list[Encoded], list[Encoded]]:
    """Return the examples that fit into `max_length` tokens, and those that do not: none is ever cut."""
    fitting = [example for example in encoded if len(example.input_ids) <= max_length]
    too_long = [example for example in encoded if len(example.input_ids) > max_length]
    return fitting, too_long
