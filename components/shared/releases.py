"""The log of a release: which promotion or rollback is current, agreed upon without a lock.

releases/<name>/log/<sequence>-<hash>   one entry each: what was made current, and after which entry
releases/<name>/claims/<id>             writers that are about to append

An entry says which one was current when it was decided on. Read in order, an entry counts only if
that is still so; of writers that race one counts, the same for everybody, and the others are told.
A writer announces itself before it looks, and the one that has written waits for those announced
before: whoever looked earlier has written by then (Lamport's bakery).
"""

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.shared.errors import DataError, StoreError
from components.shared.names import safe_name
from components.shared.records import Record
from components.shared.store import Store, release_log

CLAIM_EXPIRES = timedelta(seconds=60)  # of a writer that was killed between looking and writing
LOOK_AGAIN_S = 0.05
TRAINED = "trained_papers.json"  # in a release: ids of all papers that its weights have seen


@dataclass(kw_only=True)
class Release(Record):
    """An entry of the log: what it made current, and why."""

    version: int
    prefix: str  # of its folder in the store
    adapter_digest: str
    base: str
    manifest: str = ""  # sha256 of the store's list of its files
    sums: str = ""  # sha256 of its SHA256SUMS
    action: str = "promoted"
    after: str = ""  # label of the release that was current when this was decided on
    at: str = ""  # ISO 8601, UTC
    name: str = ""  # under which its terms let it be made available
    train_digest: str = ""
    dataset_digest: str = ""
    rouge_l: float | None = None  # ROUGE-L of the released model
    gain: float | None = None  # its ROUGE-L minus the base's

    @property
    def label(self) -> str:
        """Return the full name of a version: v2-0a1b2c3d4e5f."""
        return self.prefix.rsplit("/", 1)[-1]


def history(store: Store, name: str) -> list[Release]:
    """Return the entries that count, oldest first; raise an error naming one that was changed."""
    log = release_log(safe_name(name, "release name"))
    entries: list[Release] = []
    for row in store.entries(log):
        entry = Release.from_dict(row, log)
        if not entry.prefix.startswith(f"releases/{name}/v"):
            raise DataError(f"{log}: {entry.prefix!r} is no folder of this release")
        if entry.after == (entries[-1].label if entries else ""):
            entries.append(entry)
    return entries


def current(store: Store, name: str) -> Release | None:
    """Return the release that is current, or None before the first."""
    entries = history(store, name)
    return entries[-1] if entries else None


def papers_trained_on(store: Store, entry: Release) -> set[str]:
    """Return the papers that a release's weights have seen; raise StoreError without a list."""
    key = (store.files_of(entry.prefix) or {}).get(TRAINED, "")
    try:
        papers = json.loads(store.get(key) or b"") if key else None
    except ValueError:
        papers = None
    if not isinstance(papers, list):
        raise StoreError(
            f"{entry.prefix}/{TRAINED}: missing or damaged",
            "roll back to another release, or restore its files",
        )
    return {str(paper) for paper in papers}


def append(store: Store, name: str, entry: Release) -> Release:
    """Append an entry; raise DataError if another than `entry.after` is current by now."""
    claims = f"releases/{safe_name(name, 'release name')}/claims"
    claim = f"{claims}/{uuid.uuid4().hex}"
    entry.at = datetime.now(UTC).isoformat(timespec="microseconds")
    store.put_json(claim, {"at": entry.at})
    try:
        _still(store, name, entry)
        key = store.append(release_log(name), entry.to_dict())
        waiting_for = set(store.list(claims)) - {claim}
    finally:
        store.delete(claim)
    while any(_is_open(store, other) for other in waiting_for):
        time.sleep(LOOK_AGAIN_S)
    if all(found.to_dict() != entry.to_dict() for found in history(store, name)):
        raise _overtaken(name, entry, key)
    return entry


def _still(store: Store, name: str, entry: Release) -> None:
    now = current(store, name)
    if entry.after != (now.label if now else ""):
        raise _overtaken(name, entry, now.label if now else "none")


def _overtaken(name: str, entry: Release, other: str) -> DataError:
    return DataError(
        f"release {name!r}: {entry.label} was to follow {entry.after or 'nothing'}, "
        f"but another release is current by now ({other})",
        "run the same command again: the adapter is then judged against the current release",
    )


def _is_open(store: Store, claim: str) -> bool:
    """Tell whether a writer that announced itself may still write."""
    found = store.get_json(claim)
    if found is None:
        return False
    age = datetime.now(UTC) - datetime.fromisoformat(found["at"])
    if age > CLAIM_EXPIRES:
        store.delete(claim)
        return False
    return True
