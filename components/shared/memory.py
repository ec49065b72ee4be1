"""The memory that may be used: free on the GPU, or what cgroup, pod and machine leave."""

import os
import resource
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
# Under these names version 2 and version 1 of control groups keep the limit, what is in use, and
# its file cache.
FILES = (
    ("memory.max", "memory.current", "file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
)


def available_memory() -> int:
    """Return the bytes that this process may still take where its model lies.

    On an NVIDIA GPU what torch keeps for itself without using it counts as free. On a CPU the
    smallest of
    what the machine has free and what each control group above this process leaves (a container's
    and a
    pod's limit are such groups); processes that torchrun started on one machine share it.
    """
    import torch

    if torch.cuda.is_available():
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + kept
    return host_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def host_memory() -> int:
    """Return the bytes of main memory that this process may still take."""
    import psutil

    free = [int(psutil.virtual_memory().available), *_left_in_cgroups()]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free.append(limit - psutil.Process().memory_info().vms)
    return max(min(free), 0)


def _left_in_cgroups() -> list[int]:
    """Return the bytes left in each control group of this process that has a limit."""
    try:
        lines = OWN_CGROUPS.read_text("utf-8").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CGROUPS / controllers
        folder = root / own.lstrip("/")
        # Inside a container the path may be the host's, of which only the root is mounted.
        for group in (*_upwards(folder, root), root):
            left += _left_in(group)
    return left


def _upwards(folder: Path, root: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if path.is_relative_to(root)]


def _left_in(group: Path) -> list[int]:
    for limit_name, used_name, cache in FILES:
        try:
            limit = (group / limit_name).read_text("utf-8").strip()
            used = int((group / used_name).read_text("utf-8"))
            stat = (group / "memory.stat").read_text("utf-8")
        except (OSError, ValueError):
            continue
        if limit.isdigit():
            counts = dict(line.split() for line in stat.splitlines())
            # Cached files make room when it is asked for.
            return [int(limit) - used + int(counts.get(cache, 0))]
    return []
