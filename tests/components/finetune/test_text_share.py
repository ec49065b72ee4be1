"""Plain text of the papers among the rows trained on."""

from pathlib import Path

import pytest

from components.finetune.base import with_text
from components.finetune.config import FinetuneConfig
from components.shared.records import TEXT, write_records
from tests.builders import example

ROWS = [example(triple=f"t{number}") for number in range(30)]
TEXTS = [
    example(triple=f"x{number}", kind=TEXT, prompt="", paper=f"2405.{number % 4}")
    for number in range(40)
]


@pytest.mark.parametrize(("share", "mixed_in"), [(0.0, 0), (0.25, 10), (0.5, 30), (0.9, 40)])
def test_the_share_is_of_all_rows_as_far_as_the_text_goes(
    tmp_path: Path, share: float, mixed_in: int
) -> None:
    write_records(tmp_path / "texts.jsonl", TEXTS)
    found = with_text(FinetuneConfig(text_share=share), ROWS, tmp_path / "texts.jsonl")
    assert found[: len(ROWS)] == ROWS
    mixed = found[len(ROWS) :]
    assert len(mixed) == mixed_in
    counts = [sum(row.paper == paper for row in mixed) for paper in {row.paper for row in mixed}]
    assert not counts or max(counts) - min(counts) <= 1


def test_text_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = FinetuneConfig(text_share=0.5)
    assert with_text(config, ROWS, tmp_path / "texts.jsonl") == ROWS
    assert "there is no texts.jsonl" in capsys.readouterr().out
