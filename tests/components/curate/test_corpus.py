"""Recurring runs: the corpus grows by the usable papers, and so does the test bank."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.generate.config import GenerateConfig
from components.shared.corpus import Question, forecast, held_papers, papers_in_sight
from components.shared.errors import DataError
from components.shared.feasibility import TooLittleData, position
from components.shared.records import Source, Triple, write_records
from components.shared.store import open_store
from tests.builders import CC_BY, NONEXCLUSIVE, triple
from tests.components.curate.running import prose, rejects, run_on, side

QUESTION = {"site": "arxiv.org", "query": "language models", "published_after": "2024-01-01"}


def paper_of(week: int, number: int) -> str:
    return f"24{1 + week % 12:02}.{week:02}{number:03}"


def about(name: str, rows: int = 3) -> list[Triple]:
    return [
        triple(paper=name, input=prose((name, n)), output=prose((name, n, "out"), 9))
        for n in range(rows)
    ]


def week(
    folder: Path,
    papers: dict[str, str],
    question: dict[str, str] | None = None,
    rows: int = 3,
    **knobs: Any,
) -> dict[str, Any]:
    """Run curate on what one run's generate would have written; `papers` are licences by id."""
    triples = folder / "triples"
    triples.mkdir(parents=True)
    write_records(triples / "triples.jsonl", [row for name in papers for row in about(name, rows)])
    about_it = {"version": 1, "title": "A", "authors": [], "pages": [{"text": "All of it."}]}
    sources = [
        {"paper": name, "licence": licence, "submitted": f"20{name[:2]}-{name[2:4]}-01", **about_it}
        for name, licence in papers.items()
    ]
    write_records(triples / "sources.jsonl", map(Source.from_dict, sources))
    facts = {"stage": "scrape", "facts": {"question": question or QUESTION}}
    (triples / "lineage.jsonl").write_text(json.dumps(facts) + "\n")
    return run_on(folder, triples, store=str(folder.parent / "store"), **knobs)


def papers_in(folder: Path) -> set[str]:
    return {example.paper for name in ("train", "test") for example in side(folder, name)}


def test_the_corpus_grows_by_exactly_the_usable_papers_and_sides_stay(tmp_path: Path) -> None:
    known: dict[str, str] = {}
    for number in range(6):
        new = {paper_of(number, n): NONEXCLUSIVE if n == 0 else CC_BY for n in range(10)}
        folder = tmp_path / str(number)
        summary = week(folder, new)
        usable = {paper_of(w, n) for w in range(number + 1) for n in range(1, 10)}
        assert papers_in(folder) == usable
        assert summary["facts"]["papers of earlier runs"] == 10 * number
        now = {e.paper: name for name in ("train", "test") for e in side(folder, name)}
        assert all(now[paper] == name for paper, name in known.items())
        known = now
    assert sum(name == "test" for name in known.values()) >= 5
    store, question = open_store(str(tmp_path / "store")), Question.of(folder / "triples")
    assert question is not None
    assert len(held_papers(store, question)) == 60
    assert len(papers_in_sight(store, folder / "triples", ["2412.99999"])) == 61


def test_before_a_cost_the_corpus_counts_as_papers_to_test_on(tmp_path: Path) -> None:
    week(tmp_path / "a", {paper_of(0, n): CC_BY for n in range(40)})
    config = GenerateConfig(store=str(tmp_path / "store"))
    folder = tmp_path / "a" / "triples"
    assert forecast(config, folder, ["2412.00001"]).startswith("41 usable papers: ")
    assert forecast(config, tmp_path, ["2412.00001"]) == ""  # documents of one's own, by hand
    alone = config.changed(store=str(tmp_path / "empty"))
    with pytest.raises(TooLittleData, match="1 usable papers: 0 to test on"):
        forecast(alone, folder, ["2412.00001"])
    own = alone.changed(own_papers=True)
    assert forecast(own, folder, [paper_of(1, n) for n in range(8)]).startswith(
        "8 usable papers: 5"
    )


def test_the_same_run_again_adds_nothing_and_no_page_is_kept(tmp_path: Path) -> None:
    new = {paper_of(0, n): CC_BY for n in range(20)}
    first = week(tmp_path / "a", new)
    for folder in (tmp_path / "a" / "train", tmp_path / "store" / "corpus"):
        files = [file for file in folder.rglob("*") if file.is_file()]
        assert files
        assert not any(b"All of it." in file.read_bytes() for file in files)
    keys = list(open_store(str(tmp_path / "store")).list("corpus"))
    again = week(tmp_path / "b", new)
    assert first["facts"]["dataset digest"] == again["facts"]["dataset digest"]
    assert list(open_store(str(tmp_path / "store")).list("corpus")) == keys


def test_another_question_or_earlier_days_have_no_part_in_it(tmp_path: Path) -> None:
    week(tmp_path / "a", {paper_of(0, n): CC_BY for n in range(5)})
    new = {paper_of(3, n): CC_BY for n in range(5)}
    for name, question in (("b", {"query": "vision"}), ("c", {"published_after": "2024-04-01"})):
        week(tmp_path / name, new, QUESTION | question)
        assert papers_in(tmp_path / name) == {*new}
    week(tmp_path / "d", new)
    assert len(papers_in(tmp_path / "d")) == 10


def test_a_paper_that_was_withdrawn_or_relicensed_leaves_the_corpus(tmp_path: Path) -> None:
    old = [paper_of(0, n) for n in range(6)]
    week(tmp_path / "a", dict.fromkeys(old, CC_BY))
    store = open_store(str(tmp_path / "store"))
    store.put_json(f"papers/{old[0]}/v1.json", {"licence": CC_BY, "withdrawn": True})
    store.put_json(f"papers/{old[1]}/v1.json", {"licence": NONEXCLUSIVE, "withdrawn": False})
    store.put_json(f"papers/{old[2]}/v1.json", {"licence": CC_BY, "withdrawn": False})
    summary = week(tmp_path / "b", {paper_of(1, n): CC_BY for n in range(6)})
    assert papers_in(tmp_path / "b") == {*old[2:], *(paper_of(1, n) for n in range(6))}
    assert summary["dropped"] == {"licence not allowed: arxiv-nonexclusive": 3}


def test_what_a_run_trains_and_tests_on_is_bounded_newest_first(tmp_path: Path) -> None:
    for number in range(3):
        week(tmp_path / str(number), {paper_of(number, n): CC_BY for n in range(30)}, rows=6)
    bounds = {"corpus_rows": 60, "test_papers": 4, "test_rows": 14, "test_rows_per_paper": 4}
    summary = week(tmp_path / "c", {paper_of(3, n): CC_BY for n in range(30)}, rows=6, **bounds)
    trained, tested = side(tmp_path / "c", "train"), side(tmp_path / "c", "test")
    assert len(trained) == 60
    assert {example.paper[:4] for example in trained} == {"2404"}
    assert len(tested) == 14
    assert len({example.paper for example in tested}) == 4
    assert summary["seen"] == summary["kept"] + len(rejects(tmp_path / "c"))


def test_a_paper_made_again_counts_in_its_newest_form(tmp_path: Path) -> None:
    names = {paper_of(0, n): CC_BY for n in range(5)}
    week(tmp_path / "a", names, rows=2)
    week(tmp_path / "b", names, rows=4)
    week(tmp_path / "c", {paper_of(1, 0): CC_BY})
    rows = [e for name in ("train", "test") for e in side(tmp_path / "c", name)]
    assert len([e for e in rows if e.paper in names]) == 5 * 4


@pytest.mark.parametrize("count", [8, 12])
def test_a_set_of_ones_own_is_whole_and_gives_the_test_what_it_needs(
    count: int, tmp_path: Path
) -> None:
    week(tmp_path / "a", {paper_of(0, n): CC_BY for n in range(5)})
    own = {paper_of(1, n): CC_BY for n in range(count)}
    week(tmp_path / "b", own, rows=5, own_papers=True)
    tested, trained = ({e.paper for e in side(tmp_path / "b", s)} for s in ("test", "train"))
    assert tested | trained == {*own}
    assert (len(tested), len(trained)) == (5, count - 5)
    ordered = sorted(own, key=lambda name: position(name, 42))
    assert tested == {*ordered[:5]}


def test_a_run_that_kept_nothing_is_not_green(tmp_path: Path) -> None:
    with pytest.raises(
        TooLittleData, match=r"none of 6 triples was kept.*6 licence not allowed"
    ) as error:
        week(tmp_path / "a", {paper_of(0, n): NONEXCLUSIVE for n in range(2)})
    assert error.value.status == 2
    anyway = week(tmp_path / "b", {paper_of(0, 0): NONEXCLUSIVE}, train_anyway=True)
    assert anyway["kept"] == 0
    assert len(rejects(tmp_path / "a")) == 6
    assert "6 rows in = 0 kept + 6 dropped" in (tmp_path / "a" / "card.md").read_text()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "x" * 300])
def test_a_name_from_outside_leads_nowhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        week(tmp_path / "a", {name: CC_BY})
    assert not any("etc" in str(path) for path in tmp_path.rglob("*"))
