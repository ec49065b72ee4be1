"""Every planted leak is found, and the test rows that are kept share nothing with train."""

import json
import random
from pathlib import Path

import pytest

from components.curate.ngrams import overlaps
from components.shared.records import Triple
from tests.builders import triple
from tests.components.curate.running import prose, rejects, run, run_on, side

N = 8
LEAKS = 200


def grams(*texts: str) -> set[tuple[str, ...]]:
    """Return the 8-grams of words between white space, by other code than is tested."""
    found = set()
    for text in texts:
        said = text.lower().split()
        found |= {tuple(said[start : start + N]) for start in range(len(said) - N + 1)}
    return found


def leaking(folder: Path) -> tuple[int, int]:
    """Return how many test rows share an 8-gram with train, and how many there are."""
    known = set()
    for example in side(folder, "train"):
        known |= grams(example.input, example.completion)
    test = [grams(example.input, example.completion) for example in side(folder, "test")]
    return len([found for found in test if found & known]), len(test)


def clean(papers: int = 60, rows: int = 8) -> list[Triple]:
    names = [f"2405.{number:05}" for number in range(papers)]
    return [
        triple(paper=name, input=prose((name, n)), output=prose((name, n, "out"), 14))
        for name in names
        for n in range(rows)
    ]


def planted(kind: str, row: Triple, number: int) -> Triple:
    """Return a row that leaks `row` into another paper, or another version of its own."""
    other = {"paper": f"2412.{number:05}", "instruction": "Say what is claimed."}
    fields = {**row.to_dict(), **other, "id": f"leak-{number}"}
    cut = " ".join(row.input.split()[5:16])
    if kind == "same paper":
        texts = {"output": prose((number, "new"), 14), "input": prose((number, "new in"))}
        fields |= {"paper": row.paper, **texts}
    elif kind == "near copy":
        fields |= {"output": row.output + " Indeed."}
    elif kind == "version":
        fields |= {"paper": f"{row.paper}v2", "version": 1, "output": row.output + " So it is."}
    else:
        around = prose((number, "l"), 20), prose((number, "r"), 20)
        fields |= {"input": f"{around[0]} {cut} {around[1]}", "output": prose(number, 14)}
    return Triple.from_dict(fields)


@pytest.mark.parametrize("kind", ["same paper", "near copy", "version", "shared 8-gram"])
def test_every_planted_leak_is_found(kind: str, tmp_path: Path) -> None:
    rows = clean()
    victims = random.Random(kind).sample(rows, LEAKS // 4)
    leaks = [planted(kind, row, number) for number, row in enumerate(victims)]
    run(tmp_path, [*rows, *leaks])
    where, papers = {}, {}
    for name in ("train", "test"):
        where |= dict.fromkeys((example.triple for example in side(tmp_path, name)), name)
        papers[name] = {example.paper for example in side(tmp_path, name)}
    assert leaking(tmp_path)[0] == 0
    assert not papers["train"] & papers["test"]
    for row, leak in zip(victims, leaks, strict=True):
        ends = {where[found.id] for found in (row, leak) if found.id in where}
        assert len(ends) <= 1, (row.id, leak.id)


def test_what_overlaps_is_dropped_with_its_share(tmp_path: Path) -> None:
    rows = clean(30)
    leaks = [planted("shared 8-gram", row, number) for number, row in enumerate(rows)]
    run(tmp_path, [*rows, *leaks])
    details = []
    for reject in rejects(tmp_path):
        if reject["reason"] == "shares 8-grams with train":
            details.append(reject["detail"])
    assert details
    assert all("% of them; " in detail for detail in details)
    run(tmp_path / "unguarded", [*rows, *leaks], max_overlap=1.0)
    assert leaking(tmp_path / "unguarded")[0] == len(details)


def test_rows_in_the_seeds_shape_leave_under_one_percent_of_leaks(tmp_path: Path) -> None:
    """2,400 rows of 50 papers that nobody names, whose passages run into one another."""
    chance = random.Random(5)
    rows = []
    for paper in range(50):
        sentences = [prose((paper, n), 18) for n in range(60)]
        for _ in range(48):
            start = chance.randrange(57)
            passage = " ".join(sentences[start : start + chance.randint(1, 3)])
            output = (
                f"{prose(chance.random(), 6)} {' '.join(chance.choice(sentences).split()[:4])}."
            )
            rows.append(
                {"Instruction": f"State claim {len(rows)}.", "Input": passage, "Output": output}
            )
    shuffled = chance.sample(rows, len(rows))
    known = {gram for row in shuffled[480:] for gram in grams(row["Input"], row["Output"])}
    assert (
        sum(bool(known & grams(row["Input"], row["Output"])) for row in shuffled[:480]) > 0.18 * 480
    )

    (tmp_path / "own.json").write_text(json.dumps(rows, indent=1), "utf-8")
    summary = run_on(tmp_path, tmp_path / "own.json", allow_licences="unknown,unknown-teacher")
    shared, tested = leaking(tmp_path)
    assert shared == 0
    assert tested >= 20, summary["dropped"]


def test_overlap_is_the_share_of_a_rows_8_grams() -> None:
    half = prose("half", 16)
    train = [triple(paper="a", input=half, output="Yes it is.")]
    test = [
        triple(paper="b", input=half, output="Yes it is."),
        triple(paper="b", input=f"{half} {prose('other', 16)}", output="Yes it is."),
        triple(paper="b", input=prose("other", 16), output="Yes it is."),
        triple(paper="b", input="too short", output="Yes it is."),
    ]
    assert overlaps(train, test) == pytest.approx([1.0, 9 / 25, 0.0, 0.0])
    assert overlaps([], test) == [0.0] * 4
    assert overlaps(train, []) == []


def test_the_wording_of_instructions_is_no_leak_but_a_copied_instruction_is() -> None:
    wording = "Quote the passage from here on to the very end of the sentence."
    rows = [
        triple(paper=str(n), instruction=wording, input=prose(n), output="Short.") for n in range(6)
    ]
    assert overlaps(rows[:3], rows[3:]) == [0.0] * 3
    assert overlaps(rows[:1], rows[3:4])[0] > 0
