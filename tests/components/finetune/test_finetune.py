"""Finetune as a stage: an adapter that knows what it was made from, and that is trained once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.finetune import trainer
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.shared.errors import ConfigError, ModelError
from components.shared.records import file_digest, write_records
from components.shared.store import FolderStore, release_log
from tests.builders import example

SMALL: dict[str, Any] = {
    "epochs": 1,
    "held_out": 0,
    "batch_size": 2,
    "gradient_accumulation": 1,
    "lora_r": 4,
}
SMALL |= {"max_length": 128, "packing": False}


def run(
    folder: Path, base: Path, rows: int = 6, out: str = "adapter", **knobs: Any
) -> dict[str, Any]:
    examples = [
        example(triple=f"t{n}", prompt=f"Say {n}.\n", completion=f"It is {n}.") for n in range(rows)
    ]
    write_records(folder / "train/examples.jsonl", examples)
    config = FinetuneConfig(store=str(folder / "store"), base_model=str(base), **{**SMALL, **knobs})
    return finetune(config, folder / "train", folder / out, folder / f"{out}.html")


def about(folder: Path, out: str = "adapter") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / out / "adapter.json").read_text())
    return found


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one finished training, which tests read and `trained` copies."""
    folder = tmp_path_factory.mktemp("trained")
    assert run(folder, base)["kept"] == 6
    return folder


@pytest.fixture
def trained(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path, dirs_exist_ok=True))


def test_an_adapter_names_its_base_data_and_weights(base: Path, whole: Path) -> None:
    made = about(whole)
    assert (made["trained"], made["examples"], made["base"]) == (True, 6, str(base))
    assert made["adapter_digest"] == file_digest(
        whole / "adapter/weights/adapter_model.safetensors"
    )
    steps = [json.loads(line) for line in (whole / "adapter/steps.jsonl").open()]
    assert [row["step"] for row in steps] == list(range(1, 4))
    assert all({"loss", "learning_rate"} <= row.keys() for row in steps)


def test_the_same_again_is_not_trained_again(
    base: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> dict[str, Any]:
        raise AssertionError("trained again")

    monkeypatch.setattr(trainer, "train", refuse)
    run(trained, base, out="again")
    assert about(trained, "again") == about(trained)
    with pytest.raises(AssertionError, match="trained again"):
        run(trained, base, out="other", learning_rate=1e-3)
    with pytest.raises(AssertionError, match="trained again"):
        run(trained, base, out="other", rows=5)


def test_the_same_seed_gives_the_same_weights(base: Path, whole: Path, tmp_path: Path) -> None:
    digests = [about(whole)["adapter_digest"]]
    for seed in (FinetuneConfig.default("seed"), FinetuneConfig.default("seed") + 1):
        run(tmp_path / str(seed), base, seed=seed)
        digests.append(about(tmp_path / str(seed))["adapter_digest"])
    assert digests[0] == digests[1] != digests[2]


def test_examples_that_are_too_long_are_counted_not_cut(base: Path, tmp_path: Path) -> None:
    summary = run(tmp_path, base, rows=4, max_length=24)
    assert summary["dropped"] == {}
    examples = [example(triple="long", prompt="word " * 200, completion="End.")]
    examples += [
        example(triple=f"t{n}", prompt=f"Say {n}.\n", completion=f"It is {n}.") for n in range(4)
    ]
    write_records(tmp_path / "train/examples.jsonl", examples)
    config = FinetuneConfig(store=str(tmp_path / "store"), base_model=str(base), **SMALL)
    summary = finetune(config, tmp_path / "train", tmp_path / "b", tmp_path / "b.html")
    assert summary["dropped"] == {"longer than 128 tokens": 1}
    assert summary["kept"] == 4


def test_without_examples_nothing_is_trained_and_nothing_fails(tmp_path: Path) -> None:
    summary = run(tmp_path, Path("/no/such/model"), rows=0)
    assert summary["kept"] == 0
    assert about(tmp_path)["trained"] is False


def release(folder: Path, base: str) -> None:
    store = FolderStore(folder / "store")
    store.put_folder("releases/news/v1", folder / "adapter")
    digest = about(folder)["adapter_digest"]
    entry = {"version": 1, "base": base, "adapter_digest": digest, "prefix": "releases/news/v1"}
    store.append(release_log("news"), entry)


def test_training_goes_on_from_the_last_releases_adapter(base: Path, tmp_path: Path) -> None:
    knobs = {"learning_rate": 1e-2, "epochs": 4, "warmup_steps": 0}
    run(tmp_path, base, **knobs)
    release(tmp_path, str(base))
    run(tmp_path, base, out="more", continue_from="news", **knobs)
    assert about(tmp_path, "more")["continued_from"] == about(tmp_path)["adapter_digest"]
    assert about(tmp_path, "more")["first_loss"] < about(tmp_path)["first_loss"]


def test_without_a_release_training_starts_afresh_and_says_so(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, base, continue_from="news")
    assert "there is no release 'news' yet" in capsys.readouterr().out
    assert about(tmp_path)["continued_from"] == ""


def test_a_release_of_another_base_is_one_clear_line(base: Path, trained: Path) -> None:
    release(trained, "another/base")
    with pytest.raises(ModelError, match="its adapter is for another/base, not for"):
        run(trained, base, continue_from="news")


def test_the_curve_and_the_figures_are_recorded(whole: Path) -> None:
    made = about(whole)
    assert made["tokens_per_second"] > 0
    assert 0 < made["mfu"] < 1
    assert made["peak_memory"] > 0
    assert made["device"].startswith("CPU")
    assert (whole / "adapter/curve.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64" in (whole / "adapter.html").read_text()


@pytest.mark.parametrize("knob", [{"attention": "flash_attention_2"}, {"liger": True}])
def test_what_needs_a_gpu_is_refused_without_one(
    base: Path, tmp_path: Path, knob: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
        run(tmp_path, base, **knob)
