"""The register of releases in the store: immutable folders, and a log whose latest entry is the current release.

releases/<name>/v<version>-<digest>/...   the files, with manifest.json written last
releases/<name>/log/<sequence>-<hash>     {"version", "adapter_digest", "base", "prefix", "dataset_digest"}
"""

from pathlib import Path
from typing import Any

from components.shared.store import Store, release_log


def current(store: Store, name: str) -> dict[str, Any] | None:
    """Return the entry of the current release, or None before the first."""
    return store.latest(release_log(name))


def publish(store: Store, name: str, folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Write the release's files, then move the pointer to it; publishing the current adapter again changes nothing."""
    before = current(store, name)
    if before and before["adapter_digest"] == entry["adapter_digest"]:
        return before
    version = 1 + (before["version"] if before else 0)
    prefix = f"releases/{name}/v{version}-{entry['adapter_digest'][:12]}"
    released = {**entry, "version": version, "prefix": prefix}
    store.put_folder(prefix, folder)
    store.append(release_log(name), released)
    return released
