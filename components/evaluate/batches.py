"""Batches that fit: as many prompts at a time as memory seems to hold, and fewer when it does not."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from components.shared.errors import ModelError
from components.shared.progress import say

SHARE = (
    0.6  # of the free memory that a batch may plan with; activations and fragments take the rest
)

Item = TypeVar("Item")


class BatchSize:
    """How many prompts are worked on at a time; it only ever shrinks, so that what did not fit is not tried again."""

    def __init__(self, most: int) -> None:
        self.size = most

    def fit(self, model: Any, tokens: int) -> None:
        """Shrink to what free memory holds of sequences of `tokens` tokens: keys, values and one row of logits."""
        config = model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        state = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
        each = tokens * state + 8 * config.vocab_size
        self.size = max(1, min(self.size, int(SHARE * free_memory(model.device) / each)))


def in_batches(
    items: Sequence[Item], batch: BatchSize, work: Callable[[Sequence[Item]], None]
) -> None:
    """Call `work` on `items` batch by batch; one that runs out of memory is halved and tried again.

    Raises ModelError when a single item does not fit.
    """
    done = 0
    while done < len(items):
        part = items[done : done + batch.size]
        if _fits(work, part):
            done += len(part)
            continue
        if len(part) == 1:
            raise ModelError(
                "out of memory on a single example",
                "use a GPU with more memory, or lower evaluate.max_new_tokens",
            )
        batch.size = len(part) // 2
        say(
            "evaluate",
            f"out of memory with {len(part)} prompts at a time: {batch.size} from here on",
        )
        _give_back()


def _fits(work: Callable[[Sequence[Item]], None], part: Sequence[Item]) -> bool:
    """Work on a part; return False when memory ran out. The error dies here, and with it the tensors of its frames."""
    try:
        work(part)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether torch ran out of memory; on a CPU, and in some kernels, it says so by text alone."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )


def free_memory(device: Any) -> int:
    """Return the free bytes of a device."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _give_back() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
