"""Taking turns: one run at a time asks a teacher through one store.

A second run that starts meanwhile waits, and then finds in the store what the first one paid for. It would be no faster
beside it: a teacher's limits count for a whole organisation.

Stores have no locks. An entry is put into a queue, `askers/<teacher>/<sequence>-<owner>`; the least entry that still
shows life has the turn. Life is a counter that the owner raises and the waiting watch by their own clocks, so that no
two clocks need to agree; on one machine the process itself is looked for, so that a killed run keeps nobody waiting.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.shared.progress import say
from components.shared.store import FolderStore, Store

BEAT = 5.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one after which an owner counts as gone
POLL = 0.2


@contextlib.contextmanager
def turn(store: Store, teacher: str, stopped: Callable[[], bool]) -> Iterator[bool]:
    """Wait for the turn to ask `teacher` and hold it; yields False when `stopped` meanwhile."""
    queue = f"askers/{teacher}"
    taken = [int(key.rsplit("/", 1)[1].split("-")[0]) for key in store.list(queue)]
    mine = f"{queue}/{max(taken, default=0) + 1:08d}-{uuid.uuid4().hex}"
    entry = {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid()), "beat": 0}
    store.put_json(mine, entry)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, mine, entry, done), daemon=True)
    beating.start()
    try:
        # Whoever looked at the queue before this entry was there has put its own by the end of this pause.
        time.sleep(0.1 if isinstance(store, FolderStore) else 1.0)
        yield _wait(store, queue, mine, stopped)
    finally:
        done.set()
        beating.join()
        store.delete(mine)


def _wait(store: Store, queue: str, mine: str, stopped: Callable[[], bool]) -> bool:
    seen: dict[str, tuple[int, float]] = {}  # entry -> its last beat and when it was first seen
    told = False
    while not stopped():
        before = [key for key in store.list(queue) if key < mine]
        alive = [key for key in before if _alive(store, key, seen)]
        for key in set(before) - set(alive):
            store.delete(key)
        if not alive:
            return True
        if not told:
            say("generate", "another run is asking this teacher: waiting for it to end")
            told = True
        time.sleep(POLL)
    return False


def _alive(store: Store, key: str, seen: dict[str, tuple[int, float]]) -> bool:
    entry = store.get_json(key)
    if entry is None:
        return False
    if entry["host"] == _host():
        return entry["started"] is not None and _started(entry["pid"]) == entry["started"]
    now = time.monotonic()
    if key not in seen or seen[key][0] != entry["beat"]:
        seen[key] = entry["beat"], now
    return now - seen[key][1] < SILENCE


def _beat(store: Store, key: str, entry: dict[str, Any], done: threading.Event) -> None:
    while not done.wait(BEAT):
        entry["beat"] += 1
        store.put_json(key, entry)


def _started(pid: int) -> str | None:
    """Return when a process of this machine started, in the kernel's ticks, or None when it has ended."""
    with contextlib.suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    return None


def _host() -> str:
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text('ascii').strip()}"
    return uuid.uuid4().hex  # no /proc: then only the beat tells
