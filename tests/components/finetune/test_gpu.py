"""What only an NVIDIA GPU shows; run by `make test-gpu`."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.finetune import preflight
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.finetune.encode import encode
from components.finetune.speed import peak_memory
from components.finetune.trainer import Material, build_trainer, train
from components.shared.models import load_base, load_config, load_tokenizer
from components.shared.records import write_records
from tests.builders import example

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def a_gpu_is_there() -> None:
    import torch

    assert torch.cuda.is_available(), "make test-gpu needs an NVIDIA GPU"


def material(base: Path, count: int = 64) -> Material:
    rows = [
        example(triple=f"t{n}", prompt=f"Say {n}.\n", completion=f"It is {n}.")
        for n in range(count)
    ]
    return Material(str(base), encode(load_tokenizer(str(base)), rows))


def config(**knobs: Any) -> FinetuneConfig:
    return FinetuneConfig(
        **{"max_length": 256, "lora_r": 8, "learning_rate": 5e-3, "epochs": 4, **knobs}
    )


def test_auto_is_nf4_with_the_paged_8_bit_optimizer_and_it_learns(
    base: Path, tmp_path: Path
) -> None:
    import bitsandbytes

    trainer = build_trainer(config(), material(base), tmp_path)
    assert trainer.model.base_model.model.is_loaded_in_4bit
    trainer.train()
    assert isinstance(trainer.optimizer.optimizer, bitsandbytes.optim.AdamW)
    assert trainer.optimizer.optimizer.is_paged
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]


def test_a_plain_base_is_loaded_in_bf16_where_the_gpu_has_it(base: Path) -> None:
    import torch

    wanted = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    assert load_base(str(base), "none").dtype == wanted


@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_packing_changes_no_loss_whatever_the_attention(
    base: Path, tmp_path: Path, attention: str
) -> None:
    import torch

    losses = []
    for packing in (False, True):
        knobs = {
            "packing": packing,
            "attention": attention,
            "quantisation": "none",
            "lora_dropout": 0.0,
        }
        trainer = build_trainer(
            config(**knobs, batch_size=64), material(base), tmp_path / str(packing)
        )
        trainer.model.eval()
        with torch.no_grad():
            rows = [trainer._prepare_inputs(batch) for batch in trainer.get_train_dataloader()]
            taught = sum(int((batch["labels"] != -100).sum()) for batch in rows)
            losses.append(
                sum(
                    float(trainer.compute_loss(trainer.model, batch, num_items_in_batch=taught))
                    for batch in rows
                )
            )
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


def test_the_memory_that_was_estimated_is_enough(base: Path, tmp_path: Path) -> None:
    import torch

    torch.cuda.reset_peak_memory_stats()
    facts = train(config(epochs=1), material(base), tmp_path / "out", tmp_path / "scratch")
    needed = preflight.memory(config(), preflight.shape_of(load_config(str(base))), 64, cuda=True)
    assert peak_memory() <= needed.total
    assert 0 < facts["mfu"] < 1


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_all_gpus_train_together(base: Path, tmp_path: Path, sharding: str) -> None:
    import torch

    rows = [
        example(triple=f"t{n}", paper=f"p{n % 8}", prompt=f"Say {n}.\n", completion=f"It is {n}.")
        for n in range(64)
    ]
    write_records(tmp_path / "train/examples.jsonl", rows)
    knobs = config(
        held_out=0.25, packing=False, gradient_accumulation=8, sharding=sharding
    ).to_dict()
    knobs |= {"store": str(tmp_path / "store"), "base_model": str(base)}
    finetune(
        FinetuneConfig(**knobs), tmp_path / "train", tmp_path / "adapter", tmp_path / "curve.html"
    )
    made = json.loads((tmp_path / "adapter/adapter.json").read_text())
    assert made["processes"] == torch.cuda.device_count()
    assert made["held_out_losses"][-1] < made["held_out_losses"][0]
    assert 0 < made["mfu"] < 1
