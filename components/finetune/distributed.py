"""The processes of one training, one a GPU; a training in one process needs none of this.

Whatever they decide they decide together: one that stops, saves or goes on alone leaves the others
waiting.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

TIMEOUT = timedelta(hours=1)  # that the others wait while one fetches a base or waits for the store


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process; 0 alone writes what outlives the training."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this process on its node, and of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def init_process_group() -> None:
    """Meet the other processes."""
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank())
    # Without it accelerate knows of no processes but those with GPUs.
    os.environ["ACCELERATE_USE_CPU"] = str(not cuda)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT)


def destroy_process_group() -> None:
    """Leave the other processes, after all have come this far."""
    import torch

    barrier()
    torch.distributed.destroy_process_group()


def barrier() -> None:
    """Wait until all processes have come this far."""
    all_gather(None)


def all_gather(value: Any) -> list[Any]:
    """Return the values of all processes, by rank."""
    values = [value] * world_size()
    if len(values) > 1:
        import torch

        torch.distributed.all_gather_object(values, value)
    return values


@contextlib.contextmanager
def first_on_node() -> Iterator[bool]:
    """Run the block in the first process of each node, then in the others; yield whether first."""
    first = local_rank() == 0
    if not first:
        barrier()
    yield first
    if first:
        barrier()


@contextlib.contextmanager
def shared_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder that all processes of a node share; its first one removes it."""
    with contextlib.ExitStack() as stack:
        own = ""
        if local_rank() == 0:
            own = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
        yield Path(all_gather(own)[rank() - local_rank()])
