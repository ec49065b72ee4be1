"""Generate answers: greedy, in left-padded batches of similar length, each ended as soon as it ends itself.

Padding shifts results only by rounding, because positions count from each prompt's start: in float32 the logits of a
prompt in a batch and alone differ by less than TOLERANCE, so an answer changes only where its two best next tokens lie
closer together than that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluate.batches import BatchSize, in_batches

TOLERANCE = 1e-4  # largest difference of logits between a batch and a prompt alone, float32


@dataclass(frozen=True)
class Generation:
    """One answer: its text, how many new tokens it took (the end token included), whether it ended by itself."""

    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True)
class Loss:
    """How surprising a reference is to a model: nats summed over its tokens, the end token included."""

    total: float
    tokens: int


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch: BatchSize,
    on_batch: Callable[[dict[int, Generation]], None] = lambda made: None,
) -> list[Generation]:
    """Answer every prompt, in the order given; `on_batch` gets the answers of each batch by the place of its prompt.

    Batches are made of prompts of similar length, longest first, so that little is padded and a batch that does not
    fit into memory fails at once.
    """
    import torch

    answers: dict[int, Generation] = {}
    encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    if encoded:
        batch.fit(model, max(map(len, encoded)) + max_new_tokens)

    def answer(places: Sequence[int]) -> None:
        inputs = left_padded(
            [encoded[place] for place in places], tokenizer.pad_token_id, model.device
        )
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        made = {place: _answer(tokenizer, row) for place, row in zip(places, new, strict=True)}
        answers.update(made)
        on_batch(made)

    in_batches(longest_first(encoded), batch, answer)
    return [answers[place] for place in range(len(prompts))]


def losses(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    batch: BatchSize,
    on_batch: Callable[[dict[int, Loss]], None] = lambda made: None,
) -> list[Loss]:
    """Return the loss of each completion after its prompt; `pairs` are (prompt, completion)."""
    import torch

    found: dict[int, Loss] = {}
    encoded = [
        tokenizer(prompt + completion)["input_ids"] + [tokenizer.eos_token_id]
        for prompt, completion in pairs
    ]
    wanted = [
        len(ids) - len(tokenizer(prompt)["input_ids"])
        for ids, (prompt, _) in zip(encoded, pairs, strict=True)
    ]

    def measure(places: Sequence[int]) -> None:
        inputs = left_padded(
            [encoded[place] for place in places], tokenizer.pad_token_id, model.device
        )
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        longest = max(wanted[place] for place in places)
        with torch.inference_mode():
            logits = (
                model(**inputs, position_ids=positions, logits_to_keep=longest + 1)
                .logits[:, :-1]
                .float()
            )
        nats = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), ids[:, -longest:], reduction="none"
        )
        made = {
            place: Loss(float(row[longest - wanted[place] :].sum()), wanted[place])
            for place, row in zip(places, nats, strict=True)
        }
        found.update(made)
        on_batch(made)

    in_batches(longest_first(encoded), batch, measure)
    return [found[place] for place in range(len(pairs))]


def longest_first(encoded: Sequence[Sequence[int]]) -> list[int]:
    """Return the places of token lists, the longest first."""
    return sorted(range(len(encoded)), key=lambda place: (-len(encoded[place]), place))


def left_padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """Return input_ids and attention_mask, shape (rows, longest row), padded on the left."""
    import torch

    width = max(map(len, rows))
    ids = [[pad] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def _answer(tokenizer: Any, tokens: list[int]) -> Generation:
    stopped = tokenizer.eos_token_id in tokens
    length = tokens.index(tokenizer.eos_token_id) + 1 if stopped else len(tokens)
    text = tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
    return Generation(text=text, tokens=length, stopped=stopped)
