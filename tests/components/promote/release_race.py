"""The processes of the race in test_registry.py: some promote, one rolls back."""

from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from components.promote import registry
from components.promote.release import seal
from components.shared.errors import DataError
from components.shared.records import write_atomically
from components.shared.releases import Release, current
from components.shared.store import FolderStore

WAIT = 60  # seconds for the other processes


def entry(digest: str, sums: str = "") -> Release:
    return Release(version=0, prefix="", manifest="", adapter_digest=digest, base="base", sums=sums)


def publish(store: FolderStore, root: Path, digest: str, champion: str | None = None) -> Release:
    """Publish two small files, judged against the current release or `champion`."""
    folder = root.parent / f"release-{digest}"
    write_atomically(folder / "adapter_model.safetensors", digest)
    now = current(store, "arxtune")
    if champion is None and now:
        champion = now.adapter_digest
    return registry.publish(store, "arxtune", folder, entry(digest, seal(folder)), champion)


def racer(who: str, store: Path, rounds: int, barrier: Any, seen: Any) -> None:
    """Promote a new adapter in each round, or roll back; report what is current afterwards."""
    here = FolderStore(store)
    try:
        for number in range(rounds):
            judged_against = current(here, "arxtune")
            assert judged_against
            barrier.wait(WAIT)
            done = True
            try:
                if who == "roller":
                    registry.rollback(here, "arxtune", "v1")
                else:
                    publish(here, store, f"{who}-{number}", judged_against.adapter_digest)
            except DataError:
                done = False  # another was faster, and this one is told so
            barrier.wait(WAIT)
            found = current(here, "arxtune")
            assert found
            seen.put((number, who, done, found.label))
    except BrokenBarrierError:
        return
    except BaseException:
        barrier.abort()
        raise
