"""A paper's side never changes, and near copies never stand on both sides."""

import random
from pathlib import Path

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
        texts = {"input": prose((whose, n)), "output": prose((whose, n, "out"), 12)}
        found.append(triple(paper=name, **texts))
    return found


def on(wanted: str, start: int = 0) -> str:
    """Return the id of a paper that the hash puts on a side."""
    for number in range(start, 99_999):
        if (position(f"2406.{number:05}", 42) < 0.2) == (wanted == "test"):
            return f"2406.{number:05}"
    raise AssertionError(wanted)


def sides_of(folder: Path) -> dict[str, str]:
    return {example.paper: name for name in ("train", "test") for example in side(folder, name)}


@pytest.mark.parametrize("seed", range(2))
def test_adding_papers_never_moves_an_old_one(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    numbers = chance.sample(range(90_000), 60)
    names = [f"24{chance.randint(1, 12):02}.{number:05}" for number in numbers]
    copies = dict(zip(names[40:], chance.choices(names, k=20), strict=True))  # of old and new ones
    known: dict[str, str] = {}
    for number, count in enumerate((5, 20, 40, 60)):
        triples = [t for name in names[:count] for t in of_paper(name, 4, copies.get(name, ""), 1)]
        run(tmp_path / str(number), triples, seed=seed)
        now = sides_of(tmp_path / str(number))
        assert all(now.get(name, side) == side for name, side in known.items())
        known |= now
    assert {*known.values()} == {"train", "test"}


@pytest.mark.parametrize("hashed", ["train", "test"])
def test_what_comes_new_gives_way_and_old_papers_stay(hashed: str, tmp_path: Path) -> None:
    """A new paper that is near to old ones of both sides links them: only it is dropped."""
    trained, tested, new = on("train"), on("test"), on(hashed, start=60_000)
    old = [*of_paper(trained), *of_paper(tested)]
    run(tmp_path / "before", old)
    assert sides_of(tmp_path / "before") == {trained: "train", tested: "test"}
    changed = []
    for t in (*of_paper(new, 2, trained), *of_paper(new, 4, tested)[1:]):
        texts = {"input": f"{t.input} Yes.", "output": f"{t.output} Yes again so."}
        changed.append(triple(paper=new, **texts))
    run(tmp_path / "after", [*old, *changed], near_duplicate=1.0)
    assert sides_of(tmp_path / "after") == {trained: "train", tested: "test"}
    assert {reject["reason"] for reject in rejects(tmp_path / "after")} == {RELATIVE}


@pytest.mark.parametrize(("older", "younger"), [("train", "test"), ("test", "train")])
def test_a_near_copy_under_another_id_is_dropped_from_the_other_side(
    older: str, younger: str, tmp_path: Path
) -> None:
    first, second = on(older), on(younger, start=60_000)
    triples = [*of_paper(first), *of_paper(second, 5, first, changed=2)]
    run(tmp_path, triples, near_duplicate=1.0)
    assert sides_of(tmp_path) == {first: older}
    assert any(f"kin: {first}" in reject["detail"] for reject in rejects(tmp_path))


@pytest.mark.parametrize(("number", "dropped"), [("01", 4), ("02", 0)])
def test_the_same_authors_need_less_in_common(number: str, dropped: int, tmp_path: Path) -> None:
    first, second = on("train"), on("test", start=60_000)
    triples = [*of_paper(first, 5), *of_paper(second, 5, first, changed=4)]  # a fifth is common
    folder = write_triples(tmp_path / "triples", triples)
    told = {**source(second).to_dict(), "authors": [f"Invented Author Group {number}"]}
    write_records(folder / "sources.jsonl", [source(first), Source.from_dict(told)])
    summary = run_on(tmp_path, folder, near_duplicate=1.0)
    assert summary["dropped"].get(RELATIVE, 0) == dropped


def test_versions_of_a_paper_stay_on_one_side(tmp_path: Path) -> None:
    rows = []
    for name in PAPERS:
        for form in (f"{name}v1", f"{name}v2"):
            texts = {"input": prose(form), "output": prose((form, "out"), 9)}
            rows.append(triple(paper=form, version=0, **texts))
    write_records(tmp_path / "own.jsonl", rows)
    summary = run_on(tmp_path, tmp_path / "own.jsonl", allow_licences="unknown")
    facts = summary["facts"]
    assert {*sides_of(tmp_path)} == {*PAPERS}
    assert facts["train papers"] + facts["test papers"] == len(PAPERS)


def test_by_time_the_past_trains_and_the_future_tests(tmp_path: Path) -> None:
    days = {
        "2403.00001": "2024-03-05",
        "2404.00002": "2024-04-28",
        "2405.00003": "2024-05-01",
        "2405.00004": "",  # its id tells the month
        "2406.00005": "",
        "notes": "",
    }
    triples = [t for name in days for t in of_paper(name, 2)]
    folder = write_triples(tmp_path / "triples", triples)
    told = [source(name).to_dict() | {"submitted": day} for name, day in days.items()]
    write_records(folder / "sources.jsonl", map(Source.from_dict, told))
    summary = run_on(tmp_path, folder, test_after="2024-05-01", embargo_days=20)
    tested = dict.fromkeys(("2405.00003", "2405.00004", "2406.00005"), "test")
    assert sides_of(tmp_path) == {"2403.00001": "train", **tested}
    assert summary["dropped"] == {
        "in the embargo between train and test": 2,
        "no date to split by": 2,
    }


def test_the_share_of_test_papers_is_near_the_one_asked_for() -> None:
    below = [n for n in range(20_000) if position(f"2405.{n:05}", 7) < 0.2]
    assert abs(len(below) / 20_000 - 0.2) < 0.01
