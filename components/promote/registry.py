"""The register of releases in the store: immutable folders, and a log whose latest entry is the current release.

releases/<name>/v<version>-<digest>/...   the files, with manifest.json written last
releases/<name>/log/<sequence>-<hash>     {"version", "prefix", "adapter_digest", "base", "action", "at", ...}

A rollback is one more entry that repeats an older one's place; nothing is ever moved or removed. Two writers that race
append two entries, of which the greater key is current for everyone.
"""

import hashlib
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.promote.release import check_files
from components.shared.errors import DataError, StoreError
from components.shared.store import Store, release_log

Entry = dict[str, Any]


def current(store: Store, name: str) -> Entry | None:
    """Return the entry of the current release, or None before the first."""
    return store.latest(release_log(name))


def history(store: Store, name: str) -> list[Entry]:
    """Return all entries, oldest first; raise DataError naming an entry that is not what its key says."""
    entries = []
    for key in sorted(store.list(release_log(name))):
        data = store.get(key) or b""
        if not key.endswith(hashlib.sha256(data).hexdigest()[:16]):
            raise DataError(f"{key}: changed since it was written")
        entries.append(json.loads(data))
    return entries


def publish(store: Store, name: str, folder: Path, entry: Entry) -> Entry:
    """Write the release's files, then move the pointer to it; publishing the current adapter again changes nothing."""
    before = current(store, name)
    if before and before["adapter_digest"] == entry["adapter_digest"]:
        return before
    version = 1 + max((old["version"] for old in history(store, name)), default=0)
    prefix = f"releases/{name}/v{version}-{entry['adapter_digest'][:12]}"
    store.put_folder(prefix, folder)
    place = {"version": version, "prefix": prefix, "manifest": _manifest_digest(store, prefix)}
    return _point(store, name, {**entry, **place, "action": "promoted"})


def rollback(store: Store, name: str, wanted: str = "") -> Entry:
    """Make an older release current again, by default the one before; it must be whole in the store."""
    entries = history(store, name)
    if not entries:
        raise DataError(f"no release named {name!r} yet", "nothing to roll back")
    if not wanted:
        others = [entry for entry in entries if entry["prefix"] != entries[-1]["prefix"]]
        if not others:
            raise DataError(f"release {name!r} has one version only", "nothing to roll back to")
        wanted = label(others[-1])
    target = find(store, name, wanted)
    verify(store, target)
    if target["prefix"] == entries[-1]["prefix"]:
        return entries[-1]
    return _point(store, name, {**target, "action": f"rolled back from {label(entries[-1])}"})


def find(store: Store, name: str, wanted: str = "") -> Entry:
    """Return the entry of a version (`2`, `v2` or `v2-0a1b2c3d4e5f`), by default the current one.

    Raises DataError when there is none, or when two writers raced to one number and it takes the full name.
    """
    entries = {label(entry): entry for entry in history(store, name)}
    if not entries:
        raise DataError(f"no release named {name!r} yet")
    if not wanted:
        latest = current(store, name)
        assert latest is not None, "its log has entries"
        return latest
    asked = wanted if wanted.startswith("v") else f"v{wanted}"
    found = [full for full in entries if asked in (full, full.partition("-")[0])]
    if len(found) != 1:
        why = "more than one of that number" if found else "no such version"
        raise DataError(
            f"release {name!r}, version {wanted}: {why}", f"there are {', '.join(entries)}"
        )
    return entries[found[0]]


def label(entry: Entry) -> str:
    """Return the full name of a version: v2-0a1b2c3d4e5f."""
    return str(entry["prefix"]).rsplit("/", 1)[1]


def verify(store: Store, entry: Entry) -> int:
    """Return how many files of a release are as they were released; raise an error naming one that is not."""
    prefix = entry["prefix"]
    if entry.get("manifest") and _manifest_digest(store, prefix) != entry["manifest"]:
        raise DataError(f"{prefix}/manifest.json: changed since it was released")
    with tempfile.TemporaryDirectory(prefix="arxtune-release-") as scratch:
        folder = Path(scratch) / "release"
        if not store.get_folder(prefix, folder):
            raise StoreError(f"{prefix} is named by the release log but is not whole in the store")
        return check_files(folder, entry.get("sums", ""))


def _point(store: Store, name: str, entry: Entry) -> Entry:
    entry = {**entry, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    store.append(release_log(name), entry)
    return entry


def _manifest_digest(store: Store, prefix: str) -> str:
    return hashlib.sha256(store.get(f"{prefix}/manifest.json") or b"").hexdigest()
