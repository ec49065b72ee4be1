"""The register: one consistent pointer, a history, and hashes down to the byte."""

import itertools
import multiprocessing
import os
from collections import defaultdict
from pathlib import Path

import pytest

from components.promote import registry
from components.shared.errors import ArxtuneError, DataError
from components.shared.releases import current, history
from components.shared.store import FolderStore
from tests.components.promote.release_race import publish, racer

ROUNDS = int(os.environ.get("ARXTUNE_RACES", "10"))
RACERS = ("one", "two", "roller")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    for digest in ("aaaa", "bbbb", "cccc"):
        publish(store, store.root, digest)
    return store


def test_rolling_back_twice_goes_two_back_and_never_returns(store: FolderStore) -> None:
    assert registry.rollback(store, "arxtune").label == "v2-bbbb"
    assert registry.rollback(store, "arxtune").label == "v1-aaaa"
    with pytest.raises(DataError, match="no version before v1-aaaa was not rolled back"):
        registry.rollback(store, "arxtune")
    actions = [entry.action for entry in history(store, "arxtune")]
    assert actions == ["promoted"] * 3 + ["rolled back from v3-cccc", "rolled back from v2-bbbb"]
    assert publish(store, store.root, "dddd").version == 4, "numbers go on after the highest ever"
    assert registry.rollback(store, "arxtune").label == "v1-aaaa"
    assert registry.rollback(store, "arxtune", "3").label == "v3-cccc", "by name any may come back"


def test_rolling_back_to_what_is_current_changes_nothing(store: FolderStore) -> None:
    registry.rollback(store, "arxtune", "3")
    assert len(history(store, "arxtune")) == 3


def test_an_unknown_version_names_the_known_ones(store: FolderStore) -> None:
    for wanted in ("9", "v3-x"):
        with pytest.raises(DataError, match=r"no such version.*v1-aaaa, v2-bbbb, v3-cccc"):
            registry.find(store, "arxtune", wanted)


def test_nothing_to_roll_back_to_is_said(tmp_path: Path) -> None:
    empty = FolderStore(tmp_path / "other")
    with pytest.raises(DataError, match="no release named 'arxtune' yet"):
        registry.rollback(empty, "arxtune")


@pytest.mark.parametrize("champion", ["aaaa", "bbbb", "unknown"])
def test_a_verdict_against_another_release_than_the_current_one_is_refused(
    store: FolderStore, champion: str
) -> None:
    with pytest.raises(DataError, match=r"compared with another release.*v3-cccc"):
        publish(store, store.root, "dddd", champion)
    assert len(history(store, "arxtune")) == 3


@pytest.mark.parametrize("name", ["arxtune/log", "", "..", "a/../../x", "x" * 300, "a\nb", "a b"])
def test_a_name_that_is_no_name_reaches_no_key(store: FolderStore, name: str) -> None:
    for act in (current, history, registry.rollback, registry.find):
        with pytest.raises(DataError, match=r"release name .*cannot be used"):
            act(store, name)


def test_any_changed_byte_of_a_release_is_found(store: FolderStore) -> None:
    entry = registry.find(store, "arxtune", "2")
    assert registry.verify(store, entry) == 1
    keys = [*store.list(entry.prefix)]
    assert len(keys) == 3, "one file, its hash, the manifest"
    for key in keys:
        before = store.get(key) or b""
        store.put(key, before[:-1] + bytes([before[-1] ^ 1]))
        for act in (registry.verify, lambda store, entry: registry.rollback(store, "arxtune", "2")):
            with pytest.raises(ArxtuneError):
                act(store, entry)
        store.put(key, before)
    assert registry.verify(store, entry) == 1


def test_a_changed_entry_of_the_log_is_named(store: FolderStore) -> None:
    key = next(iter(store.list("releases/arxtune/log")))
    store.put(key, (store.get(key) or b"").replace(b"aaaa", b"aaab"))
    with pytest.raises(ArxtuneError, match=key):
        history(store, "arxtune")


def test_promotions_and_a_rollback_racing_leave_one_log_without_a_stale_verdict(
    store: FolderStore,
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, seen = context.Barrier(len(RACERS)), context.Queue()
    racers = [
        context.Process(target=racer, args=(who, store.root, ROUNDS, barrier, seen))
        for who in RACERS
    ]
    for process in racers:
        process.start()
    found = [seen.get(timeout=120) for _ in range(len(RACERS) * ROUNDS)]
    for process in racers:
        process.join(60)
        assert process.exitcode == 0
    by_round: defaultdict[int, set[str]] = defaultdict(set)
    for number, _who, _done, label in found:
        by_round[number].add(label)
    assert all(len(labels) == 1 for labels in by_round.values()), "all see the same release"
    entries = history(store, "arxtune")
    for before, after in itertools.pairwise(entries):
        assert after.after == before.label, "each was decided on against what it followed"
    promotions = [(number, who) for number, who, done, _ in found if done and who != "roller"]
    counted = [entry.adapter_digest for entry in entries if entry.action == "promoted"][3:]
    assert sorted(counted) == sorted(f"{who}-{number}" for number, who in promotions)
    assert not list(store.list("releases/arxtune/claims"))
    assert registry.verify(store, registry.find(store, "arxtune")) == 1
