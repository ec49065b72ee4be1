"""The two processes of the race in test_registry.py: one promotes, the other rolls back, a hundred times at once."""

from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from components.promote import registry
from components.shared.records import write_atomically
from components.shared.store import FolderStore

WAIT = 60  # seconds for the other process


def promoter(store: Path, rounds: int, barrier: Any, seen: Any) -> None:
    """Promote a new adapter in each round."""
    _race(
        store,
        rounds,
        barrier,
        seen,
        "promoter",
        lambda number: publish(FolderStore(store), store, f"new-{number}"),
    )


def roller(store: Path, rounds: int, barrier: Any, seen: Any) -> None:
    """Roll back in each round."""
    _race(
        store,
        rounds,
        barrier,
        seen,
        "roller",
        lambda number: registry.rollback(FolderStore(store), "arxtune"),
    )


def publish(store: FolderStore, root: Path, digest: str) -> dict[str, Any]:
    """Publish a release of two small files."""
    folder = root.parent / f"release-{digest}"
    write_atomically(folder / "adapter_model.safetensors", digest)
    from components.promote.release import SUMS, write_sums
    from components.shared.records import file_digest

    write_sums(folder)
    entry = {"adapter_digest": digest, "base": "base", "sums": file_digest(folder / SUMS)}
    return registry.publish(store, "arxtune", folder, entry)


def _race(store: Path, rounds: int, barrier: Any, seen: Any, who: str, act: Any) -> None:
    try:
        for number in range(rounds):
            barrier.wait(WAIT)
            act(number)
            barrier.wait(WAIT)
            current = registry.current(FolderStore(store), "arxtune")
            assert current is not None
            seen.put((number, who, registry.label(current)))
    except BrokenBarrierError:
        return
    except BaseException:
        barrier.abort()
        raise
