"""Finetune as a stage: an adapter that knows what it was made from, and that is trained once."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.finetune import trainer
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.shared.records import file_digest, write_records
from tests.builders import example

SMALL: dict[str, Any] = {"epochs": 1, "batch_size": 2, "gradient_accumulation": 1, "lora_r": 4}
SMALL |= {"max_length": 128, "packing": False}


def run(folder: Path, base: Path, rows: int = 6, out: str = "adapter", **knobs: Any) -> dict[str, Any]:
    examples = [example(triple=f"t{n}", prompt=f"Say {n}.\n", completion=f"It is {n}.") for n in range(rows)]
    write_records(folder / "train/examples.jsonl", examples)
    config = FinetuneConfig(store=str(folder / "store"), base_model=str(base), **{**SMALL, **knobs})
    return finetune(config, folder / "train", folder / out)


def about(folder: Path, out: str = "adapter") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / out / "adapter.json").read_text())
    return found


def test_an_adapter_names_its_base_data_and_weights(base: Path, tmp_path: Path) -> None:
    summary = run(tmp_path, base)
    made = about(tmp_path)
    assert (made["trained"], made["examples"], made["base"]) == (True, 6, str(base))
    assert made["adapter_digest"] == file_digest(tmp_path / "adapter/weights/adapter_model.safetensors")
    steps = [json.loads(line) for line in (tmp_path / "adapter/steps.jsonl").open()]
    assert [row["step"] for row in steps] == list(range(1, 4))
    assert all({"loss", "learning_rate"} <= row.keys() for row in steps)
    assert summary["kept"] == 6


def test_the_same_again_is_not_trained_again(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, base)

    def refuse(*arguments: object) -> dict[str, Any]:
        raise AssertionError("trained again")

    monkeypatch.setattr(trainer, "train", refuse)
    run(tmp_path, base, out="again")
    assert about(tmp_path, "again") == about(tmp_path)
    with pytest.raises(AssertionError, match="trained again"):
        run(tmp_path, base, out="other", learning_rate=1e-3)
    with pytest.raises(AssertionError, match="trained again"):
        run(tmp_path, base, out="other", rows=5)


def test_the_same_seed_gives_the_same_weights(base: Path, tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((1, 1, 2)):
        run(tmp_path / str(number), base, seed=seed)
        digests.append(about(tmp_path / str(number))["adapter_digest"])
    assert digests[0] == digests[1] != digests[2]


def test_examples_that_are_too_long_are_counted_not_cut(base: Path, tmp_path: Path) -> None:
    summary = run(tmp_path, base, rows=4, max_length=24)
    assert summary["dropped"] == {}
    examples = [example(triple="long", prompt="word " * 200, completion="End.")]
    examples += [example(triple=f"t{n}", prompt=f"Say {n}.\n", completion=f"It is {n}.") for n in range(4)]
    write_records(tmp_path / "train/examples.jsonl", examples)
    config = FinetuneConfig(store=str(tmp_path / "store"), base_model=str(base), **SMALL)
    summary = finetune(config, tmp_path / "train", tmp_path / "b")
    assert summary["dropped"] == {"longer than 128 tokens": 1}
    assert summary["kept"] == 4


def test_without_examples_nothing_is_trained_and_nothing_fails(tmp_path: Path) -> None:
    summary = run(tmp_path, Path("/no/such/model"), rows=0)
    assert summary["kept"] == 0
    assert about(tmp_path)["trained"] is False
