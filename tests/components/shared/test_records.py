"""Records: unknown fields survive, missing ones are named, a crash leaves no half of a file;
ledgers add up."""

import random
from pathlib import Path

import pytest

from components.shared import records
from components.shared.errors import DataError
from components.shared.ledger import Ledger, read_lineage
from components.shared.records import Example, read_records, write_atomically, write_records
from tests.builders import example


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    write_records(tmp_path / "x.jsonl", [example(colour="α")])
    (read,) = read_records(tmp_path / "x.jsonl", Example)
    assert read.extra == {"colour": "α"}
    assert read == example(colour="α")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"triple": "t"}\n', r"x\.jsonl, line 1: a Example lacks paper, kind"),
        (b"\n[1]\n", r"x\.jsonl, line 2: expected a JSON object, found list"),
        (b"nonsense\n", r"x\.jsonl, line 1: not JSON"),
        (b"\xff\xfe\n", r"x\.jsonl: not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_records(tmp_path / "x.jsonl", Example))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; run the stage that writes it first"):
        list(read_records(tmp_path / "none.jsonl", Example))


def test_a_crash_while_writing_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "file", "old")

    def crash(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(records.os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "file", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_a_ledger_adds_up_and_carries_the_lineage(tmp_path: Path) -> None:
    upstream = Ledger("extract", "papers")
    upstream.keep(2)
    upstream.write(tmp_path / "a")
    ledger, random_ = Ledger("curate", "triples"), random.Random(0)
    for number in range(500):
        if random_.random() < 0.5:
            ledger.keep()
        else:
            ledger.drop(str(number), random_.choice(["too long", "duplicate", "licence"]))
    summary = ledger.write(tmp_path / "b", tmp_path / "a")
    assert summary["seen"] == 500 == summary["kept"] + sum(summary["dropped"].values())
    assert len((tmp_path / "b/rejects.jsonl").read_text().splitlines()) == len(ledger.rejects)
    assert [row["stage"] for row in read_lineage(tmp_path / "b")] == ["extract", "curate"]
