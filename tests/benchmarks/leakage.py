"""Test rows that share an 8-gram with training: a random split by row against curate's."""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.generate.embedded import EmbeddedTeacher
from components.generate.teacher import Request
from components.generate.triples import parse
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.records import Example, read_records
from tests.benchmarks.ratio import Ratio

N = 8


def measure() -> Iterator[Ratio]:
    """Split the embedded teacher's triples both ways, with the papers named and without."""
    rows = list(_rows())
    shuffled = random.Random(0).sample(rows, len(rows))
    cut = len(rows) // 5
    by_row = _leaking(
        [_text(row) for row in shuffled[:cut]], [_text(row) for row in shuffled[cut:]]
    )
    for what, dropped in (("", ()), (", no paper named", ("paper",))):
        with tempfile.TemporaryDirectory() as name:
            given = [
                {key: value for key, value in row.items() if key not in dropped} for row in rows
            ]
            train, test = _curated(Path(name), given)
        yield Ratio(
            f"leakage, % of test rows{what}", by_row, _leaking(test, train), less_is_better=True
        )


def _rows() -> Iterator[dict[str, str]]:
    """Yield three tasks a passage, as the reference project asks for three a page."""
    teacher = EmbeddedTeacher()
    for path in sorted(SAMPLES.glob("*.txt")):
        sections = parse_sections(path.read_text("utf-8"))
        text = "\n\n".join(
            paragraph for _heading, paragraphs in sections for paragraph in paragraphs
        )
        for seed in range(3):
            request = Request(paper=path.stem, version=1, page=1, text=text, seed=seed)
            answer = teacher.ask(teacher.payload(request)).text
            for draft in parse(answer) or []:
                row = {
                    "Instruction": draft.instruction,
                    "Input": draft.input,
                    "Output": draft.output,
                }
                yield {**row, "paper": path.stem, "teacher": "embedded"}


def _curated(folder: Path, rows: list[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Return the texts of both sides."""
    (folder / "own.json").write_text(json.dumps(rows), "utf-8")
    config = CurateConfig(allow_licences="unknown", base_model="tiny", seed=0)
    curate(config, *(folder / name for name in ("own.json", "train", "test", "card", "card.md")))
    sides = (read_records(folder / name / "examples.jsonl", Example) for name in ("train", "test"))
    train, test = ([f"{example.input} {example.completion}" for example in side] for side in sides)
    print(f"{len(rows)} rows: {len(train)} to train on, {len(test)} to test on")
    return train, test


def _text(row: dict[str, str]) -> str:
    return f"{row['Input']} {row['Output']}"


def _leaking(test: list[str], train: list[str]) -> float:
    known = {gram for text in train for gram in _grams(text)}
    return 100 * sum(bool(_grams(text) & known) for text in test) / len(test)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + N]) for start in range(len(words) - N + 1)}
