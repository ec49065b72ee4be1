"""The release to beat, and what it and its forebears were trained on."""

from collections.abc import Sequence
from pathlib import Path

from components.shared.errors import StoreError
from components.shared.records import Adapter, Example
from components.shared.releases import Release, current, history, papers_trained_on
from components.shared.store import Store


def find_champion(store: Store, release: str, adapter: Adapter) -> tuple[Release | None, list[str]]:
    """Return the release to beat, if any, and what a reader has to know when there is none."""
    entry = current(store, release)
    if entry is None:
        return None, [
            f"Nothing was released as '{release}' before: the tuned model has only the base and "
            "the trivial baselines to beat."
        ]
    named = f"Version {entry.version} of release '{release}'"
    if entry.base != adapter.base:
        return None, [f"{named} is of another base ({entry.base}) and was not compared."]
    if entry.adapter_digest == adapter.adapter_digest:
        return None, [
            f"This adapter is already released as version {entry.version} of '{release}'."
        ]
    return entry, [f"{named} is the champion that the tuned model has to beat."]


def papers_seen(
    store: Store, release: str, training: Sequence[Example], adapter: Adapter, *others: Release
) -> set[str]:
    """Return the papers that the adapter, its forebear or another release was trained on."""
    papers = {example.paper for example in training}
    for entry in history(store, release):
        if adapter.continued_from and entry.adapter_digest == adapter.continued_from:
            others = (*others, entry)
    for entry in others:
        papers |= papers_trained_on(store, entry)
    return papers


def weights_of(store: Store, entry: Release, scratch: Path) -> Path:
    """Fetch a release's files, checked, and return the folder that holds its adapter."""
    if not store.get_folder(entry.prefix, scratch):
        raise StoreError(
            f"{entry.prefix} is named by the release log but is not whole in the store",
            "release another version, or restore its files",
        )
    return scratch
