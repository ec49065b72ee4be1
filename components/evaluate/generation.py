"""Generate answers: greedy, in left-padded batches of similar length, each ended as soon as it ends
itself.

Padding shifts results only by rounding, because positions count from each prompt's start: in
float32 the logits of a prompt in a batch and alone differ by less than TOLERANCE, so an answer
changes only where its two best next tokens lie closer together than that.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from components.shared.errors import ModelError
from components.shared.memory import available_memory
from components.shared.models import context_length
from components.shared.progress import say
from components.shared.prompt import encode, encode_prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOLERANCE = 1e-4  # largest difference of logits between a batch and a prompt alone, float32
SHARE = 0.6  # of the free memory that a batch may plan with; fragments take the rest
LOGIT_BYTES = 14  # a logit in the model's precision, as float32, and in the loss's own work


@dataclass(frozen=True)
class Generation:
    """One answer: its text, its number of tokens with the end, and whether it ended by itself."""

    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True)
class Loss:
    """Nats of a reference summed over its tokens, the end token included."""

    total: float
    tokens: int


Made = TypeVar("Made", Generation, Loss)


class BatchSize:
    """How many examples are worked on at a time, in one pass over them; it only ever shrinks."""

    def __init__(self, most: int) -> None:
        self.size = most

    def fit(self, model: "PreTrainedModel", tokens: int, logits: int) -> None:
        """Shrink to what memory holds of `tokens` tokens, with logits for `logits` of them."""
        config = model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None)
        width = width or config.hidden_size // config.num_attention_heads
        state = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
        each = tokens * state + logits * LOGIT_BYTES * config.vocab_size
        self.size = max(1, min(self.size, int(SHARE * available_memory() / each)))


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    max_new_tokens: int,
    batch: BatchSize,
) -> Iterator[dict[int, Generation]]:
    """Yield the answers of each batch, by the place of its prompt.

    Batches are made of prompts of similar length, longest first, so that little is padded and a
    batch that does not fit into memory fails at once.
    """
    import torch

    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    batch.fit(model, max(map(len, encoded), default=0) + max_new_tokens, 1)

    def answer(places: Sequence[int]) -> dict[int, Generation]:
        rows = [encoded[place] for place in places]
        inputs = left_padded(rows, tokenizer.pad_token_id, model.device)
        width = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=min(max_new_tokens, positions_left(model, width)),
                do_sample=False,
                temperature=None,
                top_p=None,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        answers = [_answer(tokenizer, row) for row in output[:, width:].tolist()]
        return dict(zip(places, answers, strict=True))

    yield from _in_batches(longest_first(encoded), batch, answer)


def positions_left(model: "PreTrainedModel", tokens: int) -> int:
    """Return how many tokens may follow; raise ModelError where the base has no position left."""
    positions = context_length(model.config)
    if tokens >= positions:
        problem = f"a test example has {tokens + 1} tokens, the base positions for {positions}"
        fix = "lower curate.max_tokens, or name a base with more positions"
        raise ModelError(problem, fix)
    return positions - tokens


def losses(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    pairs: Sequence[tuple[str, str]],
    batch: BatchSize,
) -> Iterator[dict[int, Loss]]:
    """Yield the losses of each batch of completions after their prompts, by place; `pairs` are
    (prompt, completion)."""
    import torch

    encoded = [encode(tokenizer, *pair) for pair in pairs]
    lengths = [len(example.completion) for example in encoded]
    longest_row = max(map(len, encoded), default=1)
    positions_left(model, longest_row - 1)
    batch.fit(model, longest_row, max(lengths, default=0) + 1)

    def measure(places: Sequence[int]) -> dict[int, Loss]:
        rows = [encoded[place].input_ids for place in places]
        inputs = left_padded(rows, tokenizer.pad_token_id, model.device)
        positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        longest = max(lengths[place] for place in places)
        with torch.inference_mode():
            output = model(**inputs, position_ids=positions, logits_to_keep=longest + 1)
            logits = output.logits[:, :-1].float()
        wanted = inputs["input_ids"][:, -longest:, None]
        # What cross_entropy gives, in half the time: it copies the logits to move their last axis.
        nats = logits.logsumexp(dim=-1) - logits.gather(-1, wanted).squeeze(-1)
        made = {}
        for place, row in zip(places, nats, strict=True):
            total = float(row[longest - lengths[place] :].sum())
            if not math.isfinite(total):
                raise ModelError("the model's loss is no number", "train it again")
            made[place] = Loss(total, lengths[place])
        return made

    yield from _in_batches(longest_first([row.input_ids for row in encoded]), batch, measure)


def longest_first(encoded: Sequence[Sequence[int]]) -> list[int]:
    """Return the places of token lists, the longest first."""
    return sorted(range(len(encoded)), key=lambda place: (-len(encoded[place]), place))


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: "torch.device"
) -> "dict[str, torch.Tensor]":
    """Return input_ids and attention_mask, shape (rows, longest row), padded on the left."""
    import torch

    width = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        empty = width - len(row)
        ids.append([pad] * empty + list(row))
        mask.append([0] * empty + [1] * len(row))
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def _answer(tokenizer: "PreTrainedTokenizerBase", tokens: list[int]) -> Generation:
    stopped = tokenizer.eos_token_id in tokens
    length = tokens.index(tokenizer.eos_token_id) + 1 if stopped else len(tokens)
    text = tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
    return Generation(text=text, tokens=length, stopped=stopped)


def _in_batches(
    places: Sequence[int], batch: BatchSize, work: Callable[[Sequence[int]], dict[int, Made]]
) -> Iterator[dict[int, Made]]:
    """Yield what `work` makes of each batch; one that runs out of memory is halved and tried again.

    Raises ModelError when a single example does not fit.
    """
    done = 0
    while done < len(places):
        part = places[done : done + batch.size]
        made = _made(work, part)
        if made is not None:
            done += len(part)
            yield made
            continue
        if len(part) == 1:
            raise ModelError(
                "out of memory on a single example",
                "use a GPU with more memory, or lower evaluate.max_new_tokens",
            )
        batch.size = len(part) // 2
        problem = f"out of memory with {len(part)} prompts at a time"
        say("evaluate", f"{problem}: {batch.size} from here on")
        _give_back()


def _made(
    work: Callable[[Sequence[int]], dict[int, Made]], part: Sequence[int]
) -> dict[int, Made] | None:
    """Work on a part; return None, with its tensors gone, when memory ran out."""
    try:
        return work(part)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether torch ran out of memory; on a CPU it says so by text alone."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    told = "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, RuntimeError) and told


def _give_back() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
