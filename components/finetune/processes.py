"""The processes of one training: torchrun starts them, one a GPU; a training in one process needs none of this.

Whatever they decide they decide together: one that stops, saves or goes on alone leaves the others waiting for it.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

PATIENCE = timedelta(
    hours=1
)  # that the others wait while one fetches a base, or waits for the store


def count() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def count_here() -> int:
    """Return how many of them run on this node."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process; 0 alone writes what outlives the training."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this process on its node, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def join() -> None:
    """Meet the other processes."""
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank())
    os.environ["ACCELERATE_USE_CPU"] = str(
        not cuda
    )  # without it accelerate knows of no processes but those with GPUs
    torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)


def part() -> None:
    """Take leave of the other processes, after all have come this far."""
    import torch

    wait()
    torch.distributed.destroy_process_group()


def wait() -> None:
    """Wait until all processes have come this far."""
    if count() > 1:
        import torch

        torch.distributed.barrier()


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    values = [value] * count()
    if count() > 1:
        import torch

        torch.distributed.all_gather_object(values, value)
    return values


def anywhere(*flags: bool) -> list[bool]:
    """Tell of each flag whether it is up in any process."""
    if count() == 1:
        return list(flags)
    import torch

    raised = torch.tensor(
        flags, dtype=torch.int32, device="cuda" if torch.cuda.is_available() else "cpu"
    )
    torch.distributed.all_reduce(raised, torch.distributed.ReduceOp.MAX)
    return [bool(flag) for flag in raised.tolist()]


@contextlib.contextmanager
def first_on_node() -> Iterator[bool]:
    """Run the block in the first process of each node, then in its others; tell whether this is the first."""
    first = local_rank() == 0
    if not first:
        wait()
    yield first
    if first:
        wait()


@contextlib.contextmanager
def shared_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder that all processes of a node share; its first one removes it."""
    with contextlib.ExitStack() as stack:
        own = (
            stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
            if local_rank() == 0
            else ""
        )
        yield Path(gather(own)[rank() - local_rank()])
