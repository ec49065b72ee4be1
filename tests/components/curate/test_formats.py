"""Twenty rows in many dresses: curate and score read the same or refuse the same."""

import csv
import gzip
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.errors import DataError
from pipelines.score import read_dataset
from tests.components.curate.running import prose, rejects, run_on

ROWS = [
    {"instruction": f"State claim {n}.", "input": prose(n), "output": f"{prose((n, 'out'), 9)}"}
    for n in range(20)
]
OWN = {"allow_licences": "open,unknown,unknown-teacher"}


def changed(change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> str:
    return jsonl([change(n, dict(row)) for n, row in enumerate(ROWS)])


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def renamed(**names: str) -> str:
    return changed(lambda n, row: {names.get(name, name): value for name, value in row.items()})


def conversation(list_name: str, role: str, text: str, user: str, assistant: str) -> str:
    def convert(n: int, row: dict[str, Any]) -> dict[str, Any]:
        question = f"{row['instruction']}\n{row['input']}"
        return {list_name: [{role: user, text: question}, {role: assistant, text: row["output"]}]}

    return changed(convert)


def as_csv(delimiter: str = ",", rows: list[dict[str, Any]] = ROWS, line_end: str = "\r\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_parquet(rows: list[dict[str, Any]] = ROWS) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def columns(kind: type) -> str:
    names = ROWS[0].keys()
    return json.dumps(
        {name: kind((str(n), row[name]) for n, row in enumerate(ROWS)) for name in names}
    )


PRETTY = json.dumps(ROWS, indent=1)
MESSAGES = conversation("messages", "role", "content", "user", "assistant")
LISTED = [{"id": str(n), **json.loads(line)} for n, line in enumerate(MESSAGES.splitlines())]
NAN = jsonl(
    [{**row, "score": 0.5} | ({"input": 0.5} if n < 7 else {}) for n, row in enumerate(ROWS)]
)
QUOTED = [
    {"": str(n), **row, "output": f'{row["output"]}\n"So", too.'} for n, row in enumerate(ROWS)
]
CELLS = [{name: json.dumps(value) for name, value in row.items()} for row in LISTED]
NULLS = [{"input": None}] * 3 + [{"output": None}] * 4 + [{}] * 13
READ: dict[str, tuple[bytes | str, int, int]] = {  # content, rows, rejects
    "JSON": (PRETTY, 20, 0),
    "JSON on one line": (json.dumps(ROWS), 20, 0),
    "JSON Lines": (jsonl(ROWS), 20, 0),
    "objects over many lines": ("\n".join(json.dumps(row, indent=2) for row in ROWS), 20, 0),
    "byte order mark and CRLF": (b"\xef\xbb\xbf" + PRETTY.replace("\n", "\r\n").encode(), 20, 0),
    "blank lines": (jsonl(ROWS).replace("\n", "\n\n  \n"), 20, 0),
    "mixed case": (renamed(instruction="Instruction", input="INPUT"), 20, 0),
    "blanks around names": (renamed(instruction=" instruction ", output="Output\t"), 20, 0),
    "ShareGPT": (conversation("conversations", "from", "value", "human", "gpt"), 20, 0),
    "messages": (MESSAGES, 20, 0),
    "CSV": (as_csv(), 20, 0),
    "CSV by semicolons": (b"\xef\xbb\xbf" + as_csv(";", line_end="\n").encode(), 20, 0),
    "TSV": (as_csv("\t"), 20, 0),
    "CSV by carriage returns": (as_csv(line_end="\r"), 20, 0),
    "CSV with an index and multi-line cells": (as_csv(rows=QUOTED), 20, 0),
    "CSV with numbers": (as_csv(rows=[{**row, "page": "3"} for row in ROWS]) + "a,b\r\n", 20, 1),
    "CSV of messages": (as_csv(rows=CELLS), 20, 0),
    "Parquet": (as_parquet(), 20, 0),
    "Parquet of messages": (as_parquet(LISTED), 20, 0),
    "null": (changed(lambda n, row: row | NULLS[n]), 16, 4),
    "numbers": (changed(lambda n, row: row | ({"output": n} if n < 5 else {})), 15, 5),
    "NaN": (NAN.replace("0.5", "NaN"), 13, 7),
    "infinity": (NAN.replace("0.5", "1e999"), 13, 7),
    "a huge line": (jsonl([*ROWS, {**ROWS[0], "input": "x" * 3_000_000}]), 20, 1),
    "a huge item": (json.dumps([*ROWS, {**ROWS[0], "input": "x" * 3_000_000}]), 20, 1),
    "cut off": (json.dumps(ROWS).replace("}, {", "},\n{")[:-40], 19, 1),
    "one id": (changed(lambda n, row: {"id": n if n > 4 else 0, **row}), 16, 4),
    "end tokens": (changed(lambda n, row: {**row, "output": row["output"] + "</s>"}), 20, 0),
    "empty input": (changed(lambda n, row: {**row, "input": ""}), 20, 0),
}  # fmt: skip
CHINESE = json.dumps([{**ROWS[0], "output": "\u8bf4\u660e"}], ensure_ascii=False)
REFUSED: dict[str, tuple[bytes | str, str]] = {  # content, what the line says
    "empty": (b"", "empty file"),
    "blank": (b" \n\n", "empty file"),
    "no rows": ("[]", "holds no usable triple (no rows)"),
    "a Markdown table": ("| instruction | input |\n|---|---|\n| a | b |\n", "a Markdown table"),
    "one row in each list": (json.dumps([list(row.values()) for row in ROWS]), "names but a list"),
    "an empty object": ("{}", "it has no fields"),
    "UTF-16": (PRETTY.encode("utf-16"), "UTF-16, not UTF-8"),
    "UTF-16 without its mark": (PRETTY.encode("utf-16-le"), "UTF-16, not UTF-8"),
    "UTF-16 of the other end": (PRETTY.encode("utf-16-be"), "UTF-16, not UTF-8"),
    "UTF-32": (PRETTY.encode("utf-32"), "UTF-32, not UTF-8"),
    "Chinese in its own encoding": (CHINESE.encode("gb18030"), "output is not UTF-8"),
    "zeros": (b"\0" * 1000, "binary data"),
    "gzip": (gzip.compress(PRETTY.encode()), "gzip, not JSON"),
    "PDF": (b"%PDF-1.7 \xff\xfe binary", "PDF, not JSON"),
    "a page": ("<html><body>no</body></html>", "HTML or XML, not JSON"),
    "prose": ("Rows of words, one and another.\nAnd no names\n" * 20_000, "not JSON"),
    "comments": (f"// mine\n{PRETTY}", "JSON with comments"),
    "Python": (f"{ROWS[0]}\n{ROWS[1]}\n", "Python's notation"),
    "wrapped": (json.dumps({"version": "1.0", "data": ROWS}), "itself, not under 'data'"),
    "splits": (json.dumps({"train": ROWS, "test": ROWS[:5]}), "itself, not under 'train'"),
    "columns as objects": (columns(dict), "write rows, not columns"),
    "columns as lists": (columns(list), "write rows, not columns"),
    "question and answer": (renamed(input="question", output="answer"), "question, answer"),
    "preferences": (renamed(output="chosen"), "lacks output; it has instruction, input, chosen"),
    "CSV of other names": (as_csv(rows=[{"question": "Why?", "answer": "So."}]), "question, answer"),
    "Parquet of other names": (as_parquet([{"text": "Why? So."}]), "it has text"),
    "lists as output": (changed(lambda n, row: row | {"output": ["a"]}), "is not text but a list"),
    "a damaged Parquet file": (as_parquet()[:-200], "damaged Parquet"),
    "deep": ("[" * 100_000, "not JSON"),
}  # fmt: skip


def write(folder: Path, content: bytes | str) -> Path:
    path = folder / "own.dat"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", READ)
def test_both_readers_find_the_same_rows(name: str, tmp_path: Path) -> None:
    content, wanted, refused = READ[name]
    path = write(tmp_path, content)
    examples, told = read_dataset(path)
    assert len(examples) == wanted
    assert (
        f"own.dat: {'CSV' if 'SV' in name else 'Parquet' if 'Parquet' in name else 'JSON'}" in told
    )
    assert (f"{refused} rows left out" in told) == (refused > 0)
    run_on(tmp_path, path, **OWN, test_fraction=0.5)
    taught = "".join((tmp_path / side / "examples.jsonl").read_text() for side in ("train", "test"))
    assert not any(mark in taught for mark in ("</s>", "NaN", "Infinity"))
    malformed = [reject for reject in rejects(tmp_path) if reject["reason"].startswith("malformed")]
    assert len(malformed) == refused
    assert all(reject["item"] and "own.dat" in reject["item"] for reject in malformed)


@pytest.mark.parametrize("name", REFUSED)
def test_both_readers_refuse_in_the_same_line(name: str, tmp_path: Path) -> None:
    content, problem = REFUSED[name]
    path = write(tmp_path, content)
    lines = []
    for read in (read_dataset, lambda path: run_on(tmp_path, path, **OWN)):
        with pytest.raises(DataError) as error:
            read(path)
        lines.append(str(error.value))
    assert problem in lines[0]
    assert lines[0] == lines[1]
    assert len(lines[0].splitlines()) == 1


@pytest.mark.parametrize(
    "piece", ["prose\n", '{"a": [\n', '"a" ', '{"a":1}', "{\n", "\n", "[{},{},", 'a,b\n"']
)
def test_reading_takes_linear_time(piece: str, tmp_path: Path) -> None:
    """Four times the text takes about four times the time, also where nothing in it can be used."""
    taken = []
    for size in (50_000, 200_000):
        path = write(tmp_path, piece * (size // len(piece)))
        start = time.process_time()
        with pytest.raises(DataError):
            read_dataset(path)
        taken.append(time.process_time() - start)
    assert taken[1] < 8 * taken[0] + 0.2
