"""Run the stage on triples made for a test, and read what it wrote."""

import json
import random
from pathlib import Path
from typing import Any

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.shared.records import Example, Triple, read_records
from tests.builders import write_triples

PAPERS = [f"2405.9{number:04}" for number in range(40)]
OUTPUTS = ("train", "test", "card.html", "card.md")


def run(
    folder: Path, triples: list[Triple], licences: dict[str, str] | None = None, **knobs: Any
) -> dict[str, Any]:
    return run_on(folder, write_triples(folder / "triples", triples, licences), **knobs)


def run_on(folder: Path, triples: Path, **knobs: Any) -> dict[str, Any]:
    return curate(CurateConfig(**knobs), triples, *(folder / name for name in OUTPUTS))


def side(folder: Path, name: str) -> list[Example]:
    return list(read_records(folder / name / "examples.jsonl", Example))


def rejects(folder: Path) -> list[dict[str, str]]:
    return [
        json.loads(line)
        for line in (folder / "train" / "rejects.jsonl").read_text("utf-8").splitlines()
    ]


def prose(seed: object, words: int = 40) -> str:
    """Return a sentence of invented words that shares no 8-gram with that of another seed."""
    random_of_seed = random.Random(str(seed))
    syllables = ("ba", "ro", "ti", "lu", "ken", "mor", "sa", "vin", "del", "pru", "gan", "che")
    made = (
        "".join(random_of_seed.choices(syllables, k=random_of_seed.randint(2, 4)))
        for _ in range(words)
    )
    return " ".join(made).capitalize() + "."
