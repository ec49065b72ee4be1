"""The register of releases in the store: immutable folders, and a log whose latest entry is the
current release.

releases/<name>/v<version>-<digest>/...   the files, with their hashes
releases/<name>/log/...                   what is current: see components/shared/releases.py

A rollback is one more entry that repeats an older one's place; nothing is ever moved or removed.
"""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from components.promote.release import check_files
from components.shared.errors import DataError, StoreError
from components.shared.releases import Release, append, current, history
from components.shared.store import Store

PROMOTED = "promoted"


def publish(store: Store, name: str, folder: Path, entry: Release, champion: str | None) -> Release:
    """Write the release's files, then make it current; publishing the current adapter again changes
    nothing.

    `champion` is the digest of the adapter that the verdict compared with, None for none. Raises
    DataError where another release is current by now.
    """
    before = current(store, name)
    if before and before.adapter_digest == entry.adapter_digest:
        return before
    if before and before.base == entry.base and before.adapter_digest != champion:
        raise _stale(name, before)
    if champion and (before is None or before.adapter_digest != champion):
        raise _stale(name, before)
    version = 1 + max((old.version for old in history(store, name)), default=0)
    prefix = f"releases/{name}/v{version}-{entry.adapter_digest[:12]}"
    store.put_folder(prefix, folder)
    entry = replace(
        entry,
        version=version,
        prefix=prefix,
        manifest=_manifest_digest(store, prefix),
        after=before.label if before else "",
        action=PROMOTED,
    )
    return append(store, name, entry)


def _stale(name: str, before: Release | None) -> DataError:
    now = before.label if before else "none"
    return DataError(
        f"release {name!r}: the verdict compared with another release than the current one ({now})",
        "run the pipeline again: what is done comes from the store, only the verdict is made anew",
    )


def rollback(store: Store, name: str, wanted: str = "") -> Release:
    """Make an older release current again, by default the one before it that was not rolled back.

    It must be whole in the store.
    """
    entries = history(store, name)
    if not entries:
        raise DataError(f"no release named {name!r} yet", "nothing to roll back")
    now = entries[-1]
    if wanted:
        target = find(store, name, wanted)
    else:
        standing = _standing(entries)
        if len(standing) < 2:
            raise DataError(
                f"release {name!r}: no version before {now.label} was not rolled back",
                "name one by its number",
            )
        target = standing[-2]
    verify(store, target)
    if target.prefix == now.prefix:
        return now
    action = f"rolled back from {now.label}"
    return append(store, name, replace(target, action=action, after=now.label))


def _standing(entries: list[Release]) -> list[Release]:
    """Return the releases that rollbacks have left standing, the current one last."""
    standing: list[Release] = []
    for entry in entries:
        places = [place for place, old in enumerate(standing) if old.prefix == entry.prefix]
        if entry.action != PROMOTED and places:
            standing = standing[: places[0]]
        standing.append(entry)
    return standing


def find(store: Store, name: str, wanted: str = "") -> Release:
    """Return the entry of `2`, `v2` or `v2-0a1b2c3d4e5f`, by default the current one."""
    entries = {entry.label: entry for entry in history(store, name)}
    if not entries:
        raise DataError(f"no release named {name!r} yet")
    if not wanted:
        now = current(store, name)
        assert now is not None, "its log has entries"
        return now
    asked = wanted if wanted.startswith("v") else f"v{wanted}"
    for label, entry in entries.items():
        if asked in (label, label.partition("-")[0]):
            return entry
    raise DataError(
        f"release {name!r}, version {wanted}: no such version", f"there are {', '.join(entries)}"
    )


def verify(store: Store, entry: Release) -> int:
    """Return how many files of a release are as released; raise an error naming others."""
    prefix = entry.prefix
    if _manifest_digest(store, prefix) != entry.manifest:
        raise DataError(f"{prefix}/manifest.json: changed since it was released")
    with tempfile.TemporaryDirectory(prefix="arxtune-release-") as scratch:
        folder = Path(scratch) / "release"
        if not store.get_folder(prefix, folder):
            raise StoreError(f"{prefix} is named by the release log but is not whole in the store")
        return check_files(folder, entry.sums)


def _manifest_digest(store: Store, prefix: str) -> str:
    return hashlib.sha256(store.get(f"{prefix}/manifest.json") or b"").hexdigest()
