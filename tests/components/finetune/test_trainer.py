"""The loss covers completion and end token alone, and packing mixes nothing."""

from pathlib import Path
from typing import Any

import pytest

from components.finetune.config import FinetuneConfig
from components.finetune.encode import encode
from components.finetune.recipe import PROJECTIONS
from components.finetune.train import Data, build_trainer
from components.shared.models import load_tokenizer
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example
from tests.builders import example

ANSWERS = ["Two experts.", "α = 0.42 (±1).", "A much longer answer, with\na line break in it.", "x"]


def examples() -> list[Example]:
    prompt = render_prompt(
        "Quote the sentence.", "The routed model sends each token to two experts."
    )
    return [
        example(triple=str(n), prompt=prompt, completion=render_completion(a))
        for n, a in enumerate(ANSWERS)
    ]


def config(**knobs: Any) -> FinetuneConfig:
    small = {
        "batch_size": 4,
        "gradient_accumulation": 1,
        "lora_r": 4,
        "packing": False,
        "max_length": 256,
    }
    return FinetuneConfig(**{**small, **knobs})


def batch(base: Path, tmp_path: Path, **knobs: Any) -> tuple[Any, dict[str, Any]]:
    data = Data(encode(load_tokenizer(str(base)), examples()))
    trainer = build_trainer(config(**knobs), str(base), data, tmp_path)
    return trainer, next(iter(trainer.get_train_dataloader()))


def test_the_loss_covers_exactly_the_completion_and_its_end_token(
    base: Path, tmp_path: Path
) -> None:
    trainer, rows = batch(base, tmp_path)
    tokenizer = trainer.processing_class
    taught = []
    for labels in rows["labels"].tolist():
        learned = [token for token in labels if token != -100]
        assert learned[-1] == tokenizer.eos_token_id
        assert learned.count(tokenizer.eos_token_id) == 1
        taught.append(tokenizer.decode(learned[:-1]))
    assert sorted(taught) == sorted(ANSWERS)


def test_the_pad_token_is_not_the_end_token_and_is_never_learned(
    base: Path, tmp_path: Path
) -> None:
    trainer, rows = batch(base, tmp_path)
    tokenizer = trainer.processing_class
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert (rows["input_ids"] == tokenizer.pad_token_id).any()
    assert not (rows["labels"] == tokenizer.pad_token_id).any()


def test_packing_changes_no_label_and_no_loss(base: Path, tmp_path: Path) -> None:
    import torch

    trainer, apart = batch(base, tmp_path / "a", lora_dropout=0.0)
    packer, packed = batch(base, tmp_path / "b", lora_dropout=0.0, packing=True)

    def learned(rows: dict[str, Any]) -> list[int]:
        return sorted(
            token for labels in rows["labels"].tolist() for token in labels if token != -100
        )

    assert learned(packed) == learned(apart)
    losses = []
    for one, rows in ((trainer, apart), (packer, packed)):
        one.model.eval()
        with torch.no_grad():
            losses.append(float(one.compute_loss(one.model, dict(rows))))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_only_the_adapter_is_trained(base: Path, tmp_path: Path) -> None:
    trainer, _ = batch(base, tmp_path)
    trainable = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert trainable
    assert all("lora_" in name for name in trainable)
    assert {name.split(".")[-4] for name in trainable} == set(PROJECTIONS)


def test_nf4_quantises_and_trains_on_the_cpu(base: Path, tmp_path: Path) -> None:
    trainer, rows = batch(base, tmp_path, quantisation="nf4", gradient_checkpointing=False)
    assert trainer.model.base_model.model.is_loaded_in_4bit
    loss = trainer.compute_loss(trainer.model, dict(rows))
    loss.backward()
    grads = [weight.grad for name, weight in trainer.model.named_parameters() if "lora_B" in name]
    assert all(grad is not None for grad in grads)


def test_the_held_out_loss_falls_and_is_measured_every_epoch(base: Path, tmp_path: Path) -> None:
    encoded = encode(load_tokenizer(str(base)), examples())
    trainer = build_trainer(
        config(epochs=2, learning_rate=1e-2, warmup_steps=0),
        str(base),
        Data(encoded, encoded[:2]),
        tmp_path,
    )
    trainer.train()
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert len(losses) == 3
    assert losses[2] < losses[0]
