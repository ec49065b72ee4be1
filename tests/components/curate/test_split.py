"""A paper's side never changes, and near copies never stand on both sides."""

import random
from pathlib import Path
from typing import Any

import pytest

from components.shared.feasibility import position
from components.shared.records import Source, Triple, write_records
from tests.builders import source, triple, write_triples
from tests.components.curate.running import PAPERS, prose, rejects, run, run_on, side

RELATIVE = "nearly the same as an older paper of the other side"


def of_paper(name: str, count: int = 4, text_of: str = "", changed: int = 0) -> list[Triple]:
    """Return triples about a paper, in the text of `text_of` but for some sentences."""
    found = []
    for n in range(count):
        whose = name if n < changed else text_of or name
        found.append(
            triple(paper=name, input=prose((whose, n)), output=prose((whose, n, "out"), 12))
        )
    return found


def sides_of(folder: Path) -> dict[str, str]:
    return {example.paper: name for name in ("train", "test") for example in side(folder, name)}


def on(wanted: str, seed: int = 42, start: int = 0, count: int = 1) -> list[str]:
    """Return ids of papers that the hash puts on a side."""
    names = (f"2406.{number:05}" for number in range(start, 99_999))
    found = (name for name in names if (position(name, seed) < 0.2) == (wanted == "test"))
    return [next(found) for _ in range(count)]


@pytest.mark.parametrize("seed", range(2))
def test_adding_papers_never_moves_an_old_one(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    names = [
        f"24{chance.randint(1, 12):02}.{number:05}" for number in chance.sample(range(90_000), 60)
    ]
    copies = dict(
        zip(names[40:], chance.choices(names, k=20), strict=True)
    )  # near copies of old and of new ones
    known: dict[str, str] = {}
    for number, count in enumerate((5, 20, 40, 60)):
        triples = [t for name in names[:count] for t in of_paper(name, 4, copies.get(name, ""), 1)]
        run(tmp_path / str(number), triples, seed=seed)
        now = sides_of(tmp_path / str(number))
        assert all(now.get(name, side) == side for name, side in known.items())
        known |= now
    assert set(known.values()) == {"train", "test"}


def test_what_comes_new_gives_way_and_old_papers_stay(tmp_path: Path) -> None:
    """A new paper that is near to old ones of both sides links them: only it is dropped."""
    (trained,), (tested,) = on("train"), on("test")
    old = [*of_paper(trained), *of_paper(tested)]
    run(tmp_path / "before", old)
    assert sides_of(tmp_path / "before") == {trained: "train", tested: "test"}
    for number, new in enumerate((on("train", start=60_000)[0], on("test", start=60_000)[0])):
        both = [
            *of_paper(new, 2, trained),
            *(t for t in of_paper(new, 4, tested) if t.input != prose((tested, 0))),
        ]
        changed = [
            triple(paper=new, input=t.input + " Yes.", output=t.output + " Yes again so.")
            for t in both
        ]
        folder = tmp_path / str(number)
        run(folder, [*old, *changed], near_duplicate=1.0)
        assert sides_of(folder) == {trained: "train", tested: "test"}
        assert {reject["reason"] for reject in rejects(folder)} == {RELATIVE}


@pytest.mark.parametrize(("older", "younger"), [("train", "test"), ("test", "train")])
def test_a_near_copy_under_another_id_is_dropped_from_the_other_side(
    older: str, younger: str, tmp_path: Path
) -> None:
    (first,), (second,) = on(older), on(younger, start=60_000)
    triples = [*of_paper(first), *of_paper(second, 5, first, changed=2)]
    run(tmp_path, triples, near_duplicate=1.0)
    assert sides_of(tmp_path) == {first: older}
    assert any(f"kin: {first}" in reject["detail"] for reject in rejects(tmp_path))


def test_the_same_authors_need_less_in_common(tmp_path: Path) -> None:
    (first,), (second,) = on("train"), on("test", start=60_000)
    triples = [
        *of_paper(first, 5),
        *of_paper(second, 5, first, changed=4),
    ]  # one passage of five is common

    def relatives(authors: list[str]) -> int:
        folder = write_triples(tmp_path / authors[0] / "triples", triples)
        told = {**source(second).to_dict(), "authors": authors}
        write_records(folder / "sources.jsonl", [source(first), Source.from_dict(told)])
        return run_on(tmp_path / authors[0], folder, near_duplicate=1.0)["dropped"].get(RELATIVE, 0)

    assert relatives(["Invented Author Group 01"]) == 4
    assert relatives(["Invented Author Group 02"]) == 0


def test_versions_of_a_paper_stay_on_one_side(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"paper": f"{name}v{version}", "n": version} for name in PAPERS for version in (1, 2)
    ]
    triples = [
        triple(paper=r["paper"], version=0, input=prose(str(r)), output=prose((str(r), 1), 9))
        for r in rows
    ]
    (tmp_path / "triples").mkdir()
    write_records(tmp_path / "triples" / "own.jsonl", triples)
    run_on(tmp_path, tmp_path / "triples", allow_licences="unknown")
    train, test = (
        {example.paper for example in side(tmp_path, name)} for name in ("train", "test")
    )
    assert train | test == set(PAPERS)
    assert not train & test


def test_by_time_the_past_trains_and_the_future_tests(tmp_path: Path) -> None:
    days = {
        "2403.00001": "2024-03-05",
        "2404.00002": "2024-04-28",
        "2405.00003": "2024-05-01",
        "2405.00004": "",
    }
    days |= {"2406.00005": "", "notes": ""}
    triples = [t for name in days for t in of_paper(name, 2)]
    folder = write_triples(tmp_path / "triples", triples)
    told = [
        Source.from_dict({**source(name).to_dict(), "submitted": day}) for name, day in days.items()
    ]
    write_records(folder / "sources.jsonl", told)
    summary = run_on(tmp_path, folder, test_after="2024-05-01", embargo_days=20)
    assert sides_of(tmp_path) == {
        "2403.00001": "train",
        "2405.00003": "test",
        "2405.00004": "test",  # its id tells the month
        "2406.00005": "test",
    }
    assert summary["dropped"] == {
        "in the embargo between train and test": 2,
        "no date to split by": 2,
    }


def test_the_share_of_test_papers_is_near_the_one_asked_for() -> None:
    names = [f"2405.{number:05}" for number in range(20_000)]
    for fraction in (0.05, 0.2, 0.5):
        share = sum(position(name, 7) < fraction for name in names) / len(names)
        assert abs(share - fraction) < 0.01
