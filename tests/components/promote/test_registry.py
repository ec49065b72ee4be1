"""The register: one consistent pointer, a history, and hashes down to the byte."""

import multiprocessing
import os
from collections import defaultdict
from pathlib import Path

import pytest

from components.promote import registry
from components.shared.errors import ArxtuneError, DataError
from components.shared.store import FolderStore
from tests.components.promote.release_race import promoter, publish, roller

ROUNDS = int(os.environ.get("ARXTUNE_RACES", "20"))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    for digest in ("aaaa", "bbbb", "cccc"):
        publish(store, store.root, digest)
    return store


def test_a_rollback_is_one_more_entry_and_takes_nothing_away(store: FolderStore) -> None:
    assert registry.rollback(store, "arxtune")["version"] == 2
    assert registry.rollback(store, "arxtune", "v1-aaaa")["version"] == 1
    actions = [entry["action"] for entry in registry.history(store, "arxtune")]
    assert actions == ["promoted"] * 3 + ["rolled back from v3-cccc", "rolled back from v2-bbbb"]
    assert publish(store, store.root, "dddd")["version"] == 4, (
        "numbers go on after the highest ever"
    )
    current = registry.current(store, "arxtune")
    assert current
    assert registry.label(current) == "v4-dddd"


def test_rolling_back_to_what_is_current_changes_nothing(store: FolderStore) -> None:
    registry.rollback(store, "arxtune", "3")
    assert len(registry.history(store, "arxtune")) == 3


@pytest.mark.parametrize(
    ("wanted", "message"), [("9", "no such version"), ("v3-x", "no such version")]
)
def test_an_unknown_version_names_the_known_ones(
    store: FolderStore, wanted: str, message: str
) -> None:
    with pytest.raises(DataError, match=f"{message}.*v1-aaaa, v2-bbbb, v3-cccc"):
        registry.find(store, "arxtune", wanted)


def test_nothing_to_roll_back_to_is_said(tmp_path: Path) -> None:
    empty = FolderStore(tmp_path / "other")
    with pytest.raises(DataError, match="no release named 'arxtune' yet"):
        registry.rollback(empty, "arxtune")
    publish(empty, empty.root, "aaaa")
    with pytest.raises(DataError, match="one version only"):
        registry.rollback(empty, "arxtune")


def test_any_changed_byte_of_a_release_is_found_and_its_file_named(store: FolderStore) -> None:
    entry = registry.find(store, "arxtune", "2")
    assert registry.verify(store, entry) == 1
    keys = [*store.list(entry["prefix"])]
    assert len(keys) == 3, "one file, its hash, the manifest"
    for key in keys:
        before = store.get(key) or b""
        store.put(key, before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(ArxtuneError, match=key.rsplit("/", 1)[1]):
            registry.verify(store, entry)
        with pytest.raises(ArxtuneError):
            registry.rollback(store, "arxtune", "2")
        store.put(key, before)
    assert registry.verify(store, entry) == 1


def test_a_changed_entry_of_the_log_is_named(store: FolderStore) -> None:
    key = next(iter(store.list("releases/arxtune/log")))
    store.put(key, (store.get(key) or b"").replace(b"aaaa", b"aaab"))
    with pytest.raises(DataError, match=key):
        registry.history(store, "arxtune")


def test_promotion_and_rollback_racing_leave_one_pointer(store: FolderStore) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, seen = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=target, args=(store.root, ROUNDS, barrier, seen))
        for target in (promoter, roller)
    ]
    for racer in racers:
        racer.start()
    found = [seen.get(timeout=120) for _ in range(2 * ROUNDS)]
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    by_round: defaultdict[int, set[str]] = defaultdict(set)
    for number, _who, label in found:
        by_round[number].add(label)
    assert all(len(labels) == 1 for labels in by_round.values()), (
        "both processes see the same release"
    )
    entries = registry.history(store, "arxtune")
    assert sum(entry["action"] == "promoted" for entry in entries) == 3 + ROUNDS, (
        "no promotion is lost"
    )
    assert registry.verify(store, registry.find(store, "arxtune")) == 1
