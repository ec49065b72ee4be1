"""The trainer: the loss covers completion and end token alone, padding is not the end, packing mixes nothing."""

from pathlib import Path
from typing import Any

import pytest

from components.finetune.config import FinetuneConfig
from components.finetune.trainer import PROJECTIONS, build_trainer, token_counts
from components.shared.errors import ModelError
from components.shared.models import attach_adapter, load_base, load_tokenizer
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example
from tests.builders import example
from tests.models import random_llama

ANSWERS = ["Two experts.", "α = 0.42 (±1).", "A much longer answer, with\na line break in it.", "x"]


def examples() -> list[Example]:
    prompt = render_prompt("Quote the sentence.", "The routed model sends each token to two experts.")
    return [example(triple=str(n), prompt=prompt, completion=render_completion(a)) for n, a in enumerate(ANSWERS)]


def config(**knobs: Any) -> FinetuneConfig:
    small = {"batch_size": 4, "gradient_accumulation": 1, "lora_r": 4, "packing": False, "max_length": 256}
    return FinetuneConfig(**{**small, **knobs})


def batch(base: Path, tmp_path: Path, **knobs: Any) -> tuple[Any, dict[str, Any]]:
    trainer = build_trainer(config(**knobs), str(base), examples(), tmp_path)
    return trainer, next(iter(trainer.get_train_dataloader()))


def test_the_loss_covers_exactly_the_completion_and_its_end_token(base: Path, tmp_path: Path) -> None:
    trainer, rows = batch(base, tmp_path)
    tokenizer = trainer.processing_class
    taught = []
    for labels in rows["labels"].tolist():
        learned = [token for token in labels if token != -100]
        assert learned[-1] == tokenizer.eos_token_id
        assert learned.count(tokenizer.eos_token_id) == 1
        taught.append(tokenizer.decode(learned[:-1]))
    assert sorted(taught) == sorted(ANSWERS)


def test_the_pad_token_is_not_the_end_token_and_is_never_learned(base: Path, tmp_path: Path) -> None:
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
        return sorted(token for labels in rows["labels"].tolist() for token in labels if token != -100)

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


def test_lengths_count_the_end_token(base: Path) -> None:
    tokenizer = load_tokenizer(str(base))
    (first, *_) = examples()
    assert token_counts(str(base), [first]) == [len(tokenizer(first.prompt + first.completion)["input_ids"]) + 1]


def test_a_base_without_a_pad_token_is_one_clear_line(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", pad_token=None)
    with pytest.raises(ModelError, match="has no token to pad with"):
        load_tokenizer(str(folder))


def test_a_reserved_token_pads_where_the_tokenizer_names_none(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", pad_token="<|reserved_special_token_0|>")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}')
    assert load_tokenizer(str(folder)).pad_token == "<|reserved_special_token_0|>"


@pytest.mark.parametrize("name", ["/nowhere/model", ""])
def test_a_base_that_is_not_there_is_one_clear_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"base model .*; name a folder or a model on the hub"):
        load_base(name)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = random_llama(tmp_path / "model", pickled=True)
    with pytest.raises(ModelError, match="base model"):
        load_base(str(folder))


def test_nf4_quantises_and_trains_on_the_cpu(base: Path, tmp_path: Path) -> None:
    trainer, rows = batch(base, tmp_path, quantisation="nf4", gradient_checkpointing=False)
    assert trainer.model.base_model.model.is_loaded_in_4bit
    loss = trainer.compute_loss(trainer.model, dict(rows))
    loss.backward()
    grads = [weight.grad for name, weight in trainer.model.named_parameters() if "lora_B" in name]
    assert all(grad is not None for grad in grads)


def test_an_adapter_for_another_base_is_one_clear_line(base: Path, tmp_path: Path) -> None:
    trainer, _ = batch(base, tmp_path)
    trainer.model.save_pretrained(str(tmp_path / "weights"))
    other = random_llama(tmp_path / "other", hidden=128)
    with pytest.raises(ModelError, match="does not fit the base model"):
        attach_adapter(load_base(str(other)), tmp_path / "weights", "tuned")
