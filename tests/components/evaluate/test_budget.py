from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.evaluate.budget import take_look
from components.shared.store import FolderStore

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def test_each_new_look_counts_the_ones_of_the_year_before_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert [
        take_look(store, "arxtune", f"look {week}", DAY + timedelta(weeks=week))
        for week in range(60)
    ] == [
        *range(53),
        *[52] * 7,
    ]


def test_the_same_look_again_spends_nothing_and_counts_as_it_did(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = [
        take_look(store, "arxtune", name, DAY + timedelta(days=day))
        for day, name in enumerate("abc")
    ]
    again = [take_look(store, "arxtune", name, DAY + timedelta(days=90)) for name in "abc"]
    assert first == again == [0, 1, 2]
    assert len(list(store.list("looks/arxtune"))) == 3


def test_releases_have_budgets_of_their_own(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    take_look(store, "arxtune", "a", DAY)
    assert take_look(store, "other", "a", DAY) == 0
