"""Checkpoints in the store: written whole or not at all, rotated, verified before they are trusted.

checkpoints/<hash of recipe, base and data>/<step>/    what the Trainer saves: adapter, optimizer,
RNG, state
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from components.finetune import distributed
from components.shared.errors import StoreError
from components.shared.progress import say
from components.shared.store import Store

KEPT = 2  # the newest, and one to fall back on
RETRY_S = 5.0


class Checkpoints:
    """The checkpoints of one training, by the hash of everything that its weights depend on."""

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.prefix = store, f"checkpoints/{key}"

    def save(self, step: int, folder: Path) -> None:
        """Store the checkpoint of a step, then remove all but the newest."""
        self.store.put_folder(self._key(step), folder)
        for old in self.steps()[KEPT:]:
            self.store.delete_folder(self._key(old))

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints that are there, whole or not, newest first."""
        keys = [key.removeprefix(f"{self.prefix}/") for key in self.store.list(self.prefix)]
        return sorted({int(key.split("/")[0]) for key in keys}, reverse=True)

    def newest(self, folder: Path) -> Path | None:
        """Fetch the newest whole checkpoint below `folder`; pass over damaged ones with a line.

        Of several processes the first finds it, and each node fetches it once: all go on from the
        same one.
        """
        found = self._find(folder) if distributed.rank() == 0 else None
        step: int | None = distributed.all_gather(found)[0]
        if step is None:
            return None
        target = folder / f"checkpoint-{step}"
        with distributed.first_on_node() as first:
            if first and distributed.rank() > 0:
                self.store.get_folder(self._key(step), target)
        return target

    def _find(self, folder: Path) -> int | None:
        for step in self.steps():
            target = folder / f"checkpoint-{step}"
            try:
                if self.store.get_folder(self._key(step), target):
                    return step
            except StoreError as error:
                say("finetune", f"skipping the checkpoint of step {step}: {error.problem}")
            shutil.rmtree(target, ignore_errors=True)
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the adapter is done."""
        for step in self.steps():
            self.store.delete_folder(self._key(step))

    def _key(self, step: int) -> str:
        return f"{self.prefix}/{step:08d}"


def keep_trying(what: str, call: Callable[[], None], *, seconds: float) -> None:
    """Call until it works; wait some seconds at most, with a line, for a store that is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except StoreError as error:
            if time.monotonic() >= deadline:
                raise
            say("finetune", f"{what}: {error.problem}; trying again in {RETRY_S:.0f} s")
            time.sleep(RETRY_S)
