"""Facts of training papers that are held out, to see what a model has learned from them."""

from pathlib import Path

from components.curate.split import same_fact
from components.shared.prompt import render_prompt
from components.shared.records import CLOSED, TEXT, Example, Triple, read_records
from tests import builders
from tests.components.curate.running import PAPERS, prose, rejects, run, side


def triple(paper: str, page: int, kind: str, number: int, passage: str) -> Triple:
    answer = prose((paper, page, kind, number), 12)
    return builders.triple(
        paper=paper, page=page, kind=kind, output=answer, input=f"{passage} {answer}",
        instruction=prose((paper, page, kind, "asked"), 6), evidence=[[100 * number, 100 * number + 90]],
        grounding=1.0,
    )  # fmt: skip


def triples() -> list[Triple]:
    found = []
    for paper in PAPERS:
        for page in range(1, 5):
            passage = prose((paper, page), 20)
            found.append(triple(paper, page, CLOSED, 1, passage))
            found.append(triple(paper, page, "open", 1, passage))  # rests on the same place
            found.append(triple(paper, page, "open", 2, prose((paper, page, "other"), 20)))
    return found


def learned(folder: Path) -> list[Example]:
    return list(read_records(folder / "test/learned.jsonl", Example))


def test_a_held_out_fact_is_of_a_training_paper_and_no_training_row_rests_on_it(
    tmp_path: Path,
) -> None:
    given = {one.id: one for one in triples()}
    run(tmp_path, list(given.values()), learned_fraction=0.5)
    train, held = side(tmp_path, "train"), learned(tmp_path)
    assert 30 < len(held) < 90
    assert {example.kind for example in held} == {CLOSED}
    assert {example.paper for example in held} <= {example.paper for example in train}
    assert not {example.triple for example in held} & {example.triple for example in train}
    for example in train:
        for other in held:
            if example.paper == other.paper:
                assert not same_fact(given[example.triple], given[other.triple])
    dropped = [row for row in rejects(tmp_path) if row["reason"].startswith("of a fact")]
    assert len(dropped) == len(held)
    assert len(train) + len(held) + len(dropped) + len(side(tmp_path, "test")) == len(given)


def test_a_held_out_answer_that_a_training_row_tells_too_is_a_leak(tmp_path: Path) -> None:
    given = triples()
    told = {one.paper: one for one in given if one.kind == CLOSED and one.page == 1}
    for one in given:
        if one.kind == "open" and one.page == 4:
            one.output = told[one.paper].output
            one.input += f" {one.output}"
    run(tmp_path, given, learned_fraction=0.9)
    answers = {example.completion for example in learned(tmp_path)}
    assert answers
    assert not answers & {one.output for one in told.values()}


def test_closed_book_rows_are_rendered_without_the_passage_that_they_keep(tmp_path: Path) -> None:
    run(tmp_path, triples())
    closed = [*learned(tmp_path), *(e for e in side(tmp_path, "train") if e.kind == CLOSED)]
    for example in closed:
        assert example.prompt == render_prompt(example.instruction, "")
        assert example.completion in example.input


def test_the_texts_to_train_on_are_the_passages_of_training_papers_alone(tmp_path: Path) -> None:
    run(tmp_path, triples(), learned_fraction=0.5)
    texts = list(read_records(tmp_path / "train/texts.jsonl", Example))
    rows = [*side(tmp_path, "train"), *learned(tmp_path)]
    assert {text.completion for text in texts} == {row.input for row in rows}
    assert {(text.kind, text.prompt) for text in texts} == {(TEXT, "")}
    assert not {text.paper for text in texts} & {row.paper for row in side(tmp_path, "test")}


def test_sides_and_held_out_facts_stay_where_they_are_when_papers_are_added(tmp_path: Path) -> None:
    given = triples()
    run(tmp_path / "few", given[: len(given) // 2], learned_fraction=0.5)
    run(tmp_path / "all", given, learned_fraction=0.5)
    few, more = ({e.triple for e in learned(tmp_path / name)} for name in ("few", "all"))
    assert few
    assert few <= more
