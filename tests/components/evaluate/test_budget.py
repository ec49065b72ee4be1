from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.evaluate.budget import SPENDABLE, YEAR, Look, take_look
from components.shared.store import FolderStore

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def look(store: FolderStore, name: str, at: datetime, release: str = "arxtune") -> Look:
    return take_look(store, release, name, 0.05, 10, at)


@pytest.mark.parametrize("days", [1, 7, 30, 91])
def test_the_looks_of_any_365_days_spend_no_more_than_the_years_error(
    tmp_path: Path, days: int
) -> None:
    store = FolderStore(tmp_path)
    times = [DAY + timedelta(days=days * number) for number in range(60)]
    found = [look(store, f"look {at}", at) for at in times]
    for end in times:
        window = [one.level for one, at in zip(found, times, strict=True) if end - YEAR < at <= end]
        assert sum(window) <= SPENDABLE * 0.05 + 1e-12
    assert all(one.level > 0 for one in found), "none is without a chance"
    assert [one.level for one in found[:6]] == pytest.approx([0.0045] * 6)


def test_the_same_look_again_spends_nothing_and_counts_as_it_did(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = [look(store, name, DAY + timedelta(days=day)) for day, name in enumerate("abc")]
    again = [look(store, name, DAY + timedelta(days=90)) for name in "abc"]
    assert first == again
    assert [len(one.before) for one in first] == [0, 1, 2]
    assert len(list(store.list("looks/arxtune"))) == 3


def test_releases_have_budgets_of_their_own(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    look(store, "a", DAY)
    assert look(store, "a", DAY, release="other").before == ()
