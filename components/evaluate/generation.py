"""Generate answers: greedy, in left-padded batches of similar length, each ended as soon as it ends itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """One answer: its text, how many new tokens it took (the end token included), whether it ended by itself."""

    text: str
    tokens: int
    stopped: bool


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda count: None,
) -> list[Generation]:
    """Answer every prompt, in the order given; `on_batch` hears how many more are done.

    Batches are made of prompts of similar length, longest first, so that little is padded and a batch that does not
    fit into memory fails at once. Padding shifts results only by rounding: positions count from each prompt's start.
    """
    import torch

    answers: list[Generation | None] = [None] * len(prompts)
    encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda index: (-len(encoded[index]), index))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = max(len(encoded[index]) for index in batch)
        pads = [width - len(encoded[index]) for index in batch]
        ids = [[tokenizer.pad_token_id] * pad + encoded[index] for pad, index in zip(pads, batch, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in pads]
        with torch.inference_mode():
            made = model.generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        for index, row in zip(batch, made[:, width:].tolist(), strict=True):
            answers[index] = _answer(tokenizer, row)
        on_batch(len(batch))
    return [answer for answer in answers if answer is not None]


def _answer(tokenizer: Any, tokens: list[int]) -> Generation:
    stopped = tokenizer.eos_token_id in tokens
    length = tokens.index(tokenizer.eos_token_id) + 1 if stopped else len(tokens)
    text = tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
    return Generation(text=text, tokens=length, stopped=stopped)
