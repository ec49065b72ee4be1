"""Rows from anywhere: what can be used is used, the rest is a reject with file and line."""

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from components.curate.reader import read_material
from components.curate.rows import MAX_CHARACTERS, split_id
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from tests.builders import CC_BY
from tests.components.curate.running import prose, run_on, side

GOOD = {"Instruction": "State the claim.", "Input": prose("good"), "Output": "The claim is good."}
OWN = {"allow_licences": "open,unknown,unknown-teacher"}


def row(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "instruction": "State the claim.",
        "input": prose(number),
        "output": f"Claim {number}.",
        **fields,
    }


def chat(*turns: tuple[str, object]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def read(path: Path, content: bytes | str) -> tuple[list[str], list[str]]:
    """Return the outputs read and the rejects, as "line: reason"."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    ledger = Ledger("curate", "triples")
    triples = read_material(path, ledger).triples
    told = []
    for reject in ledger.rejects:
        line = reject["item"].removeprefix(f"{path.name}, line ")
        told.append(f"{line}: {reject['reason'].removeprefix('malformed: ')}")
    return sorted(triple.output for triple in triples), told


def lines(*rows: object) -> str:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"instruction": "Say it.", "input": "A text."}, "lacks output; it has instruction, input"),
        (
            {"instruction": "Say it.", "output": "A text."},
            "lacks input; it has instruction, output",
        ),
        (row(output=["a", "list"]), "output is not text but a list"),
        (row(output=None), "output is not text but null"),
        (row(instruction=3), "instruction is not text but a number"),
        (row(version="two"), "version is not a number from 0 to 1,000,000,000"),
        (row(version=1.5), "version is not a whole number"),
        (row(page=True), "page is not a number from 0 to 1,000,000,000"),
        (row(page=10**400), "page is not a number from 0 to 1,000,000,000"),
        (row(page=-1), "page is not a number from 0 to 1,000,000,000"),
        (row(grounding="high"), "grounding is not a number from 0 to 1,000,000,000"),
        (row(paper=7), "paper is not text but a number"),
        (row(evidence=["nowhere"]), "evidence is not a list of [start, end]"),
        (row(paper="2405.90001", licence="\udcff"), "licence is not UTF-8"),
        (["a", "list"], "not an object with names but a list"),
        ("3", "not an object with names but a number"),
        ("not json", "not JSON"),
        ('{"instruction": "cut off', "not JSON"),
        ("{'instruction': 'single quotes'}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"page": ' + "9" * 10_000 + "}", "not JSON"),
        (row(input="x" * 10_000_000), f"input is longer than {MAX_CHARACTERS:,} characters"),
        (row(output="half a pair: \ud83d"), "output is not UTF-8"),
        (chat(("user", "Why?")), "its conversation does not end in a question and its answer"),
        (chat(("user", "Why?"), ("tool", "So.")), "a turn of its conversation is by 'tool'"),
        (chat(("user", "Why?"), ("assistant", None)), "a turn of its conversation is not text"),
        ({"messages": 7}, "its conversation is no list"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "row",
)
def test_a_malformed_row_is_a_reject_with_its_line(
    bad: object, reason: str, tmp_path: Path
) -> None:
    found = read(tmp_path / "own.jsonl", lines(row(1), bad, row(2)))
    assert found == (["Claim 1.", "Claim 2."], [f"2: {reason}"])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_never_one(value: str, tmp_path: Path) -> None:
    text = json.dumps(row(1, grounding=0.5, score=0.5)).replace("0.5", value)
    (tmp_path / "own.jsonl").write_text(text)
    (triple,) = read_material(tmp_path / "own.jsonl", Ledger("curate", "triples")).triples
    assert triple.grounding == 0
    assert triple.extra == {}


@pytest.mark.parametrize(
    ("turns", "instruction", "earlier"),
    [
        ("user: Why?|assistant: So.", "Why?", ""),
        ("system: You help.|human: Why?|gpt: So.|user: And?", "Why?", ""),
        ("user: Who?|model: She.|user: Why?|bot: So.", "Why?", "User: Who?\nAssistant: She."),
    ],
)
@pytest.mark.parametrize("names", [("role", "content"), ("from", "value")])
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_conversation_is_read_by_its_last_exchange(
    turns: str,
    instruction: str,
    earlier: str,
    names: tuple[str, str],
    in_parts: bool,
    tmp_path: Path,
) -> None:
    told = []
    for turn in turns.split("|"):
        role, text = turn.split(": ")
        told.append(
            {names[0]: role, names[1]: [{"type": "text", "text": text}] if in_parts else text}
        )
    (tmp_path / "own.json").write_text(json.dumps([{"conversations": told}]))
    (triple,) = read_material(tmp_path / "own.json", Ledger("curate", "triples")).triples
    assert (triple.instruction, triple.input, triple.output) == (instruction, earlier, "So.")


def test_text_is_made_safe_and_marks_are_taken_off(tmp_path: Path) -> None:
    marks = ["</s>", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>", "<end_of_turn>"]
    rows = [row(n, output=f"<s> Claim {n}.{mark}\n") for n, mark in enumerate(marks)]
    rows.append(row(5, output="\x1b[31mClaim\x00 5.\u202e\r\nYes."))
    rows.append(row(6, output="[INST] Say it. [/INST] Claim 6."))
    (tmp_path / "own.jsonl").write_text(lines(*rows))
    summary = run_on(tmp_path, tmp_path / "own.jsonl", **OWN)
    assert summary["dropped"] == {"prompt leaked into the data": 1}
    taught = {example.completion for name in ("train", "test") for example in side(tmp_path, name)}
    assert taught == {*(f"Claim {n}." for n in range(5)), "Claim 5.\nYes."}


@pytest.mark.parametrize(("form", "line"), [("lines", 2), ("array", 1), ("array over lines", 7)])
@pytest.mark.parametrize(
    ("bad", "reason"), [(b'"Clai\xff 9."', "output is not UTF-8"), (b"Claim 9.", "not JSON")]
)
def test_a_broken_row_costs_only_itself(
    form: str, line: int, bad: bytes, reason: str, tmp_path: Path
) -> None:
    rows = [row(1), row(9), row(2)]
    text = lines(*rows)
    if form != "lines":
        text = json.dumps(rows, indent=2 if "over" in form else None)
    found = read(tmp_path / "own.json", text.encode().replace(b'"Claim 9."', bad))
    assert found == (["Claim 1.", "Claim 2."], [f"{line}: {reason}"])


def test_fields_that_nobody_knows_do_no_harm(tmp_path: Path) -> None:
    deep = json.loads("[" * 400 + "]" * 400)
    same = [row(3, id="same", note=n) for n in range(2)]
    text = lines(row(1, note=deep), row(2, note="\udcff"), *same)
    wanted = ["Claim 1.", "Claim 2.", "Claim 3.", "Claim 3."]
    assert read(tmp_path / "own.jsonl", text) == (wanted, [])


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json does not exist"):
        read_material(tmp_path / "nowhere.json", Ledger("curate", "triples"))


def test_of_two_rows_with_one_id_the_same_is_kept_in_any_order(tmp_path: Path) -> None:
    rows = [row(n, id="seven", output=f"Another claim {n}.") for n in range(4)]
    kept = set()
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        found, told = read(tmp_path / "own.jsonl", lines(*rows))
        assert len(told) == 3
        assert all("duplicate id" in text for text in told)
        kept.add(tuple(found))
    assert len(kept) == 1


def test_random_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    chance = random.Random(0)
    good = lines(row(1), row(2), GOOD).encode()
    for _ in range(100):
        data = bytearray(good)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(DataError):
            outputs, told = read(tmp_path / "own.jsonl", bytes(data[chance.randrange(3) :]))
            assert outputs or told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2405.90001v2", ("2405.90001", 2)),
        ("arXiv:2405.90001", ("2405.90001", 0)),
        ("https://arxiv.org/abs/2405.90001v11", ("2405.90001", 11)),
        ("hep-th/9901001v1", ("hep-th/9901001", 1)),
        ("my notes", ("my notes", 0)),
    ],
)
def test_a_paper_is_known_in_any_spelling_of_its_id(name: str, expected: tuple[str, int]) -> None:
    assert split_id(name) == expected


@pytest.mark.parametrize(
    ("knobs", "dropped"),
    [
        ({}, {"licence not allowed: unknown": 2}),
        (OWN, {"teacher's terms forbid training on its answers": 1}),
    ],
)
def test_what_a_row_tells_of_its_paper_counts(
    knobs: dict[str, str], dropped: dict[str, int], tmp_path: Path
) -> None:
    told = {"paper": "2405.90001v1", "licence": CC_BY, "teacher": "mixtral-8x7b"}
    rows = [row(1, **told), row(2), row(3, paper="2405.90001v2", teacher="gpt-4o")]
    (tmp_path / "own.jsonl").write_text(lines(*rows))
    assert run_on(tmp_path, tmp_path / "own.jsonl", **knobs)["dropped"] == dropped


@pytest.mark.parametrize(
    ("teacher", "reason"),
    [
        ("", "teacher's terms unknown"),
        ("llama3-70b-8192", "answers of llama3 may train Llama models only"),
    ],
)
def test_a_teacher_can_be_named_for_a_whole_file(teacher: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(lines(row(1), row(2, teacher="mixtral-8x7b")))
    knobs = {"allow_licences": "unknown", "base_model": "Qwen/Qwen2.5-7B", "own_teacher": teacher}
    assert run_on(tmp_path, tmp_path / "own.jsonl", **knobs)["dropped"] == {reason: 1}


def test_what_lacks_provenance_is_said(tmp_path: Path) -> None:
    known = row(2, paper="2405.90001", page=3, grounding=0.9)
    (tmp_path / "own.jsonl").write_text(lines(row(1), known, row(3)))
    summary = run_on(tmp_path, tmp_path / "own.jsonl", **OWN)
    assert summary["kept"] == 3
    assert summary["facts"]["rows that name no paper"] == 2
    assert summary["facts"]["rows without a page to be grounded in"] == 2
    for card in ("card.html", "card.md"):
        text = (tmp_path / card).read_text("utf-8")
        assert "2 rows name no paper" in text
        assert "2 rows come without the page they rest on" in text


def test_rows_about_one_passage_stay_on_one_side(tmp_path: Path) -> None:
    passages = [prose(("passage", n), 60) for n in range(30)]
    rows = [row(input=text, output=prose((text, n), 9)) for text in passages for n in range(3)]
    (tmp_path / "own.json").write_text(json.dumps(rows))
    assert run_on(tmp_path, tmp_path / "own.json", **OWN)["kept"] == 90
    train = {example.input for example in side(tmp_path, "train")}
    test = {example.input for example in side(tmp_path, "test")}
    assert train | test == {*passages}
    assert len(train) + len(test) == 30 > len(train) > 0
