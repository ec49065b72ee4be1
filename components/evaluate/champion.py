"""The release to beat, and what it and its forebears were trained on."""

import json
from collections.abc import Sequence
from pathlib import Path

from components.shared.errors import StoreError
from components.shared.records import Adapter, Example
from components.shared.releases import Release, current, history
from components.shared.store import Store

TRAINED = "trained_papers.json"  # in a release: ids of all papers that its weights have seen


def find_champion(store: Store, release: str, adapter: Adapter) -> tuple[Release | None, list[str]]:
    """Return the release to beat, if any, and what a reader has to know when there is none."""
    entry = current(store, release)
    if entry is None:
        return None, [
            f"There is no release '{release}' yet: the tuned model has only the base and the "
            "trivial baselines to beat."
        ]
    named = f"Version {entry.version} of release '{release}'"
    if entry.base != adapter.base:
        return None, [f"{named} is of another base ({entry.base}) and was not compared."]
    if entry.adapter_digest == adapter.adapter_digest:
        return None, [
            f"This adapter is already released as version {entry.version} of '{release}'."
        ]
    return entry, [f"{named} is the champion that the tuned model has to beat."]


def papers_trained_on(
    store: Store, release: str, training: Sequence[Example], adapter: Adapter, *others: Release
) -> set[str]:
    """Return the papers that the adapter, its forebear or another release was trained on."""
    papers = {example.paper for example in training}
    forebears = {entry.adapter_digest: entry for entry in history(store, release)}
    if adapter.continued_from in forebears:
        others = (*others, forebears[adapter.continued_from])
    for entry in others:
        papers |= _papers_of(store, entry)
    return papers


def _papers_of(store: Store, entry: Release) -> set[str]:
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


def weights_of(store: Store, entry: Release, scratch: Path) -> Path:
    """Fetch a release's files, checked, and return the folder that holds its adapter."""
    if not store.get_folder(entry.prefix, scratch):
        raise StoreError(
            f"{entry.prefix} is named by the release log but is not whole in the store",
            "release another version, or restore its files",
        )
    return scratch
