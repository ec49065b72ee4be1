"""Finetune as a stage: an adapter that knows what it was made from, and that is trained once."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from components.finetune import core
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.promote.config import PromoteConfig
from components.promote.core import promote
from components.shared.errors import ModelError
from components.shared.records import file_digest, write_records
from components.shared.releases import Release, append, current
from components.shared.store import FolderStore
from tests.builders import example, source
from tests.verdicts import verdict

SMALL: dict[str, Any] = {
    "epochs": 1,
    "held_out": 0,
    "batch_size": 2,
    "gradient_accumulation": 1,
    "lora_r": 4,
    "warmup_steps": 0,
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


def test_an_adapter_carries_its_tokenizer(base: Path, whole: Path) -> None:
    from transformers import AutoTokenizer

    text = "The routed model sends each token."
    own = AutoTokenizer.from_pretrained(whole / "adapter/weights")(text)["input_ids"]
    assert own == AutoTokenizer.from_pretrained(base)(text)["input_ids"]


def test_the_same_again_is_not_trained_again(
    base: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> dict[str, Any]:
        raise AssertionError("trained again")

    monkeypatch.setattr(core, "run", refuse)
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


def release(folder: Path, out: str = "adapter") -> None:
    """Promote the adapter as the release `news`, as if it had been judged better."""
    write_records(folder / "train/sources.jsonl", [source("2405.90001")])
    now = current(FolderStore(folder / "store"), "news")
    champion = {"adapter_digest": now.adapter_digest} if now else None
    digest = about(folder, out)["adapter_digest"]
    judged = verdict(word="better", adapter_digest=digest, champion=champion)
    judged.write(folder / "evaluation/verdict.json")
    config = PromoteConfig(store=str(folder / "store"), release="news")
    promote(config, folder / "train", folder / out, folder / "evaluation", folder / f"{out}-news")


def test_training_goes_on_from_the_last_release(base: Path, tmp_path: Path) -> None:
    knobs = {"learning_rate": 1e-2, "epochs": 4.0}
    run(tmp_path, base, **knobs)
    release(tmp_path)
    run(tmp_path, base, out="more", continue_from="news", **knobs)
    assert about(tmp_path, "more")["continued_from"] == about(tmp_path)["adapter_digest"]
    assert about(tmp_path, "more")["first_loss"] < about(tmp_path)["first_loss"]
    release(tmp_path, "more")
    run(tmp_path, base, out="again", continue_from="news", **knobs)
    assert about(tmp_path, "again")["continued_from"] == about(tmp_path, "more")["adapter_digest"]


def test_without_a_release_training_starts_afresh_and_says_so(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, base, continue_from="news")
    assert "there is no release 'news' yet" in capsys.readouterr().out
    assert about(tmp_path)["continued_from"] == ""


def test_a_release_of_another_base_is_one_clear_line(base: Path, trained: Path) -> None:
    entry = Release(version=1, base="another/base", adapter_digest="x", prefix="releases/news/v1")
    append(FolderStore(trained / "store"), "news", entry)
    with pytest.raises(ModelError, match="its adapter is for another/base, not for"):
        run(trained, base, continue_from="news")


def test_the_curve_and_the_figures_are_recorded(whole: Path) -> None:
    made = about(whole)
    assert made["tokens_per_second"] > 0
    assert 0 < made["mfu"] < 1
    assert made["peak_memory"] > 0
    assert made["device"].startswith("CPU")
    assert "tokens_per_second" in (whole / "adapter.html").read_text()


@pytest.mark.parametrize("packing", [False, True])
def test_a_training_that_diverges_stops_in_one_line_and_leaves_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: bool
) -> None:
    from trl import SFTTrainer

    plain = SFTTrainer.compute_loss

    def broken(self: Any, *arguments: Any, **named: Any) -> Any:
        factor = float("nan") if self.state.global_step == 2 else 1.0
        return factor * plain(self, *arguments, **named)

    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(ModelError, match="loss at step 3 is not a finite number;") as found:
        run(tmp_path, base, rows=6, checkpoint_minutes=0.0, epochs=4.0, packing=packing)
    assert "\n" not in str(found.value)
    assert not [*FolderStore(tmp_path / "store").list("adapters")]
    assert not (tmp_path / "adapter/adapter.json").exists()
    kept = [*(tmp_path / "store").rglob("*.safetensors")]
    assert kept
    for path in kept:
        assert all(weight.isfinite().all() for weight in load_file(path).values())


def test_weights_that_break_in_the_last_step_are_not_stored(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    plain = torch.optim.AdamW.step

    def broken(self: Any, *arguments: Any) -> Any:
        done = plain(self, *arguments)
        self.param_groups[0]["params"][0].data.view(-1)[0] = float("inf")
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", broken)
    with pytest.raises(ModelError, match=r"a weight of the adapter \(.*lora_A.*\) is not a finite"):
        run(tmp_path, base, rows=2)
    assert not [*FolderStore(tmp_path / "store").list("adapters")]


@pytest.mark.parametrize("held_out", [0.0, 0.5])
def test_nothing_is_trained_on_a_base_with_a_nan(
    base: Path, tmp_path: Path, held_out: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Path(shutil.copytree(base, tmp_path / "bad"))
    weights = load_file(bad / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    save_file(weights, bad / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no numbers"):
        run(tmp_path, bad)
    monkeypatch.setattr("components.shared.models.not_finite", lambda model: "")
    with pytest.raises(ModelError, match=r"loss at step \d is not a finite number"):
        run(tmp_path, bad, held_out=held_out)
    assert not [*FolderStore(tmp_path / "store").list("adapters")]


@pytest.mark.parametrize(
    ("signals", "status", "going_on"),
    [
        ([signal.SIGINT], 130, True),
        ([signal.SIGTERM], 143, True),
        ([signal.SIGINT, signal.SIGTERM], 130, True),  # Ctrl-C, passed on by the runner too
        ([signal.SIGINT, signal.SIGINT], 130, False),  # a second Ctrl-C: at once
    ],
)
def test_a_signal_saves_a_checkpoint_and_the_same_command_goes_on(
    base: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signals: list[signal.Signals],
    status: int,
    going_on: bool,
) -> None:
    from trl import SFTTrainer

    plain = SFTTrainer.compute_loss

    def asked(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.state.global_step == 1:
            for number in signals:
                signal.raise_signal(number)
        return plain(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "compute_loss", asked)
        with pytest.raises(SystemExit) as ended:
            run(tmp_path, base)
    assert ended.value.code == status
    said = capsys.readouterr().out
    where = "goes on from the checkpoint of step 2" if going_on else "starts at step 1"
    assert f"the same command {where}" in said
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    run(tmp_path, base)
    assert ("going on from the checkpoint of step 2" in capsys.readouterr().out) == going_on
    assert about(tmp_path)["adapter_digest"] == about(whole)["adapter_digest"]
