"""Attention over packed rows: the layout that torch's flash kernel is given.

The kernel itself runs on a GPU alone: `make test-gpu` compares its loss with that of sdpa.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from components.finetune import packed, recipe
from components.finetune.config import FinetuneConfig
from components.finetune.encode import encode
from components.finetune.packed import varlen_attention
from components.finetune.train import Data, build_trainer
from components.shared.errors import ModelError
from components.shared.models import load_tokenizer
from tests.builders import example
from tests.models import random_llama


def by_example(query: Any, key: Any, value: Any, starts: Any, *_: Any, **options: Any) -> Any:
    """Attend within one example after the other, as torch documents varlen_attn."""
    assert options["window_size"] == (-1, 0)
    found = []
    for start, end in pairwise(starts.tolist()):
        one = (part[start:end].transpose(0, 1) for part in (query, key, value))
        attended = torch.nn.functional.scaled_dot_product_attention(
            *one, scale=options["scale"], is_causal=True
        )
        found.append(attended.transpose(0, 1))
    return torch.cat(found)


@pytest.fixture
def slopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[float]]:
    """Return a function of an attention: the norms of all gradients over packed rows."""
    monkeypatch.setattr(packed, "varlen_attn", by_example)
    monkeypatch.setattr(recipe, "_lacking", lambda *_, **options: "")  # the kernel stands in here
    base = str(random_llama(tmp_path / "base"))
    made = [example(triple=f"t{n}", prompt="Say.\n" * n, completion=f"It {n}.") for n in range(9)]
    data = Data(encode(load_tokenizer(base), made))

    def measure(attention: str) -> list[float]:
        knobs = {"attention": attention, "max_length": 256, "batch_size": 2, "lora_dropout": 0.0}
        trainer = build_trainer(FinetuneConfig(**knobs), base, data, tmp_path / "scratch")
        for batch in trainer.get_train_dataloader():
            trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch)).backward()
        trained = [one.grad for one in trainer.model.parameters() if one.grad is not None]
        return [float(one.norm()) for one in trained]

    return measure


def test_packed_rows_train_as_with_sdpa(slopes: Callable[[str], list[float]]) -> None:
    found = slopes("varlen")
    assert max(found) > 0
    assert found == pytest.approx(slopes("sdpa"), rel=1e-4)


def test_a_base_that_asks_for_more_is_refused() -> None:
    one = torch.zeros(1, 1, 1, 8)
    with pytest.raises(ModelError, match="asks for softcap"):
        varlen_attention(
            torch.nn.Identity(),
            *(one, one, one, None),
            cu_seq_lens_q=torch.tensor([0, 1]),
            max_length_q=1,
            softcap=50.0,
        )
