"""Read a dataset: examples.jsonl as curate writes it, or a file in the seed's shape (Instruction, Input, Output)."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.shared.errors import DataError
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example, read_records

SEED_NAMES = ("Instruction", "Input", "Output")
NO_PAPER = (
    "unknown"  # all rows that name no paper count as one: nothing tells which belong together
)


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a stage's folder, or of one file; raise DataError naming file and row of a bad one."""
    if path.is_dir() and (path / "examples.jsonl").exists():
        return list(read_records(path / "examples.jsonl", Example))
    if path.is_dir():
        files = sorted(file for pattern in ("*.json", "*.jsonl") for file in path.glob(pattern))
        path = files[0] if len(files) == 1 else path / "examples.jsonl"
    return [_example(row, number, path.name) for number, row in enumerate(_rows(path), 1)]


def _rows(path: Path) -> Iterable[Any]:
    """Return the rows of a JSON list, or of a file with one object a line."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "run the stage that writes it first") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 ({error.reason} at byte {error.start})") from None
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise DataError(
            f"{path.name}: not JSON ({error})", "expected a list of objects, or one object a line"
        ) from None


def _example(row: Any, number: int, file: str) -> Example:
    where = f"{file}, row {number}"
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    if "completion" in row:
        return Example.from_dict(row, where)
    values = [row.get(name, row.get(name.lower())) for name in SEED_NAMES]
    if lacking := [
        name for name, value in zip(SEED_NAMES, values, strict=True) if not isinstance(value, str)
    ]:
        raise DataError(
            f"{where}: no text in {', '.join(lacking)}", "a row needs Instruction, Input and Output"
        )
    instruction, text, output = (str(value) for value in values)
    return Example(
        triple=str(row.get("id", f"row-{number}")),
        paper=str(row.get("paper", NO_PAPER)),
        kind=str(row.get("kind", "unknown")),
        instruction=instruction,
        input=text,
        prompt=render_prompt(instruction, text),
        completion=render_completion(output),
    )
