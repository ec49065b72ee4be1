"""Training through trl equals a plain PyTorch loop with LoRA layers of its own."""

import math
from pathlib import Path
from typing import Any

import pytest

from components.finetune.config import FinetuneConfig
from components.finetune.encode import IGNORE, Encoded, encode
from components.finetune.recipe import PROJECTIONS
from components.finetune.train import Data, build_trainer
from components.shared.models import load_base, load_tokenizer
from tests.builders import example

STEPS, ROWS, RANK, ALPHA, RATE, CLIP = 20, 4, 4, 16, 1e-3, 0.3
KNOBS: dict[str, Any] = {
    "epochs": 2.0,
    "lora_r": RANK,
    "lora_alpha": ALPHA,
    "lora_dropout": 0.0,
    "learning_rate": RATE,
    "max_grad_norm": CLIP,
    "warmup_steps": 2,
    "max_length": 128,
    "optimizer": "adamw_torch",
}


@pytest.mark.parametrize(
    "knobs",
    [
        {"packing": False, "batch_size": 2, "gradient_accumulation": 2},
        {"packing": False, "batch_size": 4, "gradient_accumulation": 1},
        {"packing": False, "batch_size": 4, "gradient_accumulation": 1, "recipe": "reference"},
    ],
)
def test_trl_and_a_plain_loop_take_the_same_steps(
    base: Path, tmp_path: Path, knobs: dict[str, Any]
) -> None:
    rows = [
        example(triple=f"t{n}", prompt="Say it. " * (n % 5 + 1), completion=f"It is {n * n}.")
        for n in range(STEPS * ROWS // 2)
    ]
    data = Data(encode(load_tokenizer(str(base)), rows))
    trainer = build_trainer(FinetuneConfig(**KNOBS, **knobs), str(base), data, tmp_path)
    start = {
        name: weight.detach().clone()
        for name, weight in trainer.model.named_parameters()
        if weight.requires_grad
    }
    order = order_of(trainer, data.train)
    trainer.train()
    theirs = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    ours, weights = plain_loop(base, start, order)
    assert len(theirs) == len(ours) == STEPS
    assert theirs == pytest.approx(ours, abs=1e-5)
    for name, weight in trainer.model.named_parameters():
        if weight.requires_grad:
            moved = float((weight.detach() - start[name]).norm())
            assert float((weight - weights[name]).detach().norm()) <= 1e-3 * moved + 1e-7


def order_of(trainer: Any, train: Any) -> list[Encoded]:
    """Return the examples in the order in which two epochs read them."""
    import torch

    by_tokens = {tuple(one.input_ids): one for one in train}
    order: list[Encoded] = []
    state = torch.get_rng_state()
    loader = trainer.get_train_dataloader()
    for epoch in range(2):
        loader.set_epoch(epoch)
        for batch in loader:
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                order.append(by_tokens[tuple(ids[mask.bool()].tolist())])
    torch.set_rng_state(state)
    return order


def plain_loop(
    base: Path, start: dict[str, Any], order: list[Encoded]
) -> tuple[list[float], dict[str, Any]]:
    """Train with nothing but torch; return each step's loss, and the weights by trl's names."""
    import torch

    model = load_base(str(base)).requires_grad_(False)
    trained: dict[str, Any] = {}
    for name, module in list(model.named_modules()):
        if name.rsplit(".", 1)[-1] in PROJECTIONS:
            pair = []
            for letter in "AB":
                full = f"base_model.model.{name}.lora_{letter}.default.weight"
                trained[full] = start[full].clone().requires_grad_(True)
                pair.append(trained[full])
            module.register_forward_hook(added(*pair))
    optimizer = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        rows = order[step * ROWS : (step + 1) * ROWS]
        taught = sum(row.taught for row in rows)
        warm = min(step / 2, (STEPS - step) / (STEPS - 2))
        for group in optimizer.param_groups:
            group["lr"] = RATE * max(warm, 0.0)
        loss = sum(summed(model, row) for row in rows) / taught
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(trained.values()), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        assert math.isfinite(losses[-1])
    return losses, trained


def added(first: Any, second: Any) -> Any:
    return lambda module, given, out: out + given[0] @ first.T @ second.T * (ALPHA / RANK)


def summed(model: Any, row: Encoded) -> Any:
    import torch

    ids, labels = torch.tensor([row.input_ids]), torch.tensor(row.labels)
    logits = model(input_ids=ids).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(
        logits, labels[1:], ignore_index=IGNORE, reduction="sum"
    )
