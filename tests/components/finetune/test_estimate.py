"""Memory and time are estimated from a configuration alone; what cannot fit is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.finetune import estimate, recipe
from components.finetune.config import FinetuneConfig
from components.finetune.estimate import GIB, Shape, Work
from components.shared.errors import ModelError
from components.shared.models import load_config
from tests.models import llama_3_8b

LONGEST = 1000  # tokens


@pytest.fixture(scope="module")
def shape() -> Shape:
    return estimate.shape_of(llama_3_8b())


def config(**knobs: Any) -> FinetuneConfig:
    """Return the reference recipe on a GPU: 4 rows of 2,048 tokens at a time."""
    given = {"base_model": "an-8b", "recipe": "reference", "attention": "sdpa", **knobs}
    settled = recipe.settle(FinetuneConfig(**given), recipe.device_for((9, 0)))
    return recipe.fit(settled, 1000)


def test_the_weights_of_an_8b_model_are_counted_without_making_them(shape: Shape) -> None:
    assert shape.linear + shape.other == 8_030_261_248
    assert shape.adapted * 64 == 167_772_160  # what peft makes of r=64 on all seven projections


def test_the_reference_recipe_for_8b_fits_a_24_gib_gpu_in_4_bits_and_not_in_16(
    shape: Shape,
) -> None:
    needed = estimate.check(config(), shape, LONGEST, there=24 * GIB, cuda=True)
    assert 4.5 < needed.weights / GIB < 6
    with pytest.raises(ModelError) as found:
        estimate.check(
            config(quantisation="none", batch_size=1), shape, LONGEST, there=16 * GIB, cuda=True
        )
    assert "an-8b: training needs about" in str(found.value)
    assert "finetune.quantisation=nf4" in str(found.value)


def test_the_fix_that_is_named_fits(shape: Shape) -> None:
    plain = config(quantisation="none", gradient_checkpointing=False)
    for there in (20 * GIB, 30 * GIB, 40 * GIB, 60 * GIB):
        with pytest.raises(ModelError, match="set finetune") as found:
            estimate.check(plain, shape, LONGEST, there=there, cuda=True)
        named = str(found.value).rsplit("set ", 1)[1].split(":")[0]
        fixed = FinetuneConfig.build(
            plain.to_dict(),
            dict(part.removeprefix("finetune.").split("=") for part in named.split(", ")),
        )
        assert (
            fixed.batch_size * fixed.gradient_accumulation
            == plain.batch_size * plain.gradient_accumulation
        )
        estimate.check(fixed, shape, LONGEST, there=there, cuda=True)


def test_nothing_helps_a_device_that_is_far_too_small(shape: Shape) -> None:
    with pytest.raises(ModelError, match="use a smaller base model"):
        estimate.check(config(), shape, LONGEST, there=2 * GIB, cuda=True)


@pytest.mark.parametrize(
    "more", [{"lora_r": 128}, {"batch_size": 8}, {"gradient_checkpointing": False}]
)
def test_more_of_anything_needs_more(shape: Shape, more: dict[str, Any]) -> None:
    before = estimate.memory(config(), shape, LONGEST, cuda=True).total
    assert estimate.memory(config(**more), shape, LONGEST, cuda=True).total > before


def test_the_time_grows_with_the_work_and_falls_with_the_device(shape: Shape) -> None:
    def seconds(flops_per_second: float = 1e15, of: Shape = shape, **knobs: Any) -> float:
        work = Work(tokens=10**6, length=500, longest=600)
        return estimate.duration(config(**knobs), of, work, flops_per_second)

    once = seconds(epochs=1.0)
    assert seconds(epochs=3.0) == pytest.approx(3 * once)
    assert seconds(2e15, epochs=1.0) == pytest.approx(once / 2)
    assert seconds(epochs=1.0, gradient_checkpointing=False) == pytest.approx(once * 3 / 4)
    assert seconds(of=replace(shape, linear=0), epochs=1.0) < once


def test_one_row_at_a_time_needs_much_less_than_four(shape: Shape) -> None:
    four = estimate.memory(config(), shape, LONGEST, cuda=True)
    fitted = config(recipe="fitted", gradient_checkpointing=True)
    one = estimate.memory(fitted, shape, LONGEST, cuda=True)
    assert four.activations > 2.5 * one.activations


def test_a_forecast_says_what_it_rests_on(base: Path) -> None:
    work = Work(tokens=10**6, length=500, longest=600)
    model_config = load_config(str(base))
    cpu = recipe.fit(recipe.settle(FinetuneConfig(max_length=128), recipe.device_for(None)), 100)
    _, basis = estimate.expected_flops(cpu, model_config, work, "NVIDIA H100 80GB HBM3")
    assert "of the data sheet's peak" in basis
    reached, basis = estimate.expected_flops(cpu, model_config, work, "")
    assert reached > 0
    assert basis == "one layer of this base, timed here"


@pytest.mark.parametrize(
    ("there", "rows_open", "rows", "twice"),
    [
        (192, True, 4, False),
        (80, True, 2, False),
        (40, True, 1, False),
        (16, True, 4, True),
        (9, True, 1, True),
        (80, False, 4, True),
    ],
)
def test_memory_goes_to_rows_at_a_time_before_activations_are_computed_twice(
    shape: Shape, there: int, rows_open: bool, rows: int, twice: bool
) -> None:
    left_open = config(recipe="fitted", attention="varlen")
    assert left_open.gradient_checkpointing is None
    here = there * GIB
    spent = estimate.spend_memory(
        left_open, shape, LONGEST, there=here, cuda=True, rows_open=rows_open
    )
    assert (spent.batch_size, spent.gradient_checkpointing) == (rows, twice)
    assert spent.batch_size * spent.gradient_accumulation == 16
    estimate.check(spent, shape, LONGEST, there=here, cuda=True)


def test_the_reference_recipe_always_computes_activations_twice() -> None:
    assert config().gradient_checkpointing


@pytest.mark.parametrize(
    ("knobs", "measured"),
    [  # peak GiB of torch's allocator on an H100, at 32 layers in nf4: see docs/performance.md
        ({"recipe": "fitted", "gradient_checkpointing": True}, 7.8),
        ({"recipe": "fitted", "gradient_checkpointing": False}, 22.9),
        ({"recipe": "reference"}, 10.8),
    ],
)
def test_the_estimate_is_within_a_fifth_of_what_was_measured(
    shape: Shape, knobs: dict[str, Any], measured: float
) -> None:
    needed = estimate.memory(config(**knobs), shape, LONGEST, cuda=True).total / GIB
    assert measured <= needed <= 1.2 * measured


@pytest.mark.parametrize(
    ("rows", "tokens", "measured"),
    [  # peak GiB of a process that trains SmolLM2-135M in float32, as the system counts it
        (4, 479, 7.1),
        (4, 428, 7.3),
        (6, 404, 9.8),
        (8, 425, 13.9),
    ],
)
def test_on_a_cpu_the_estimate_is_within_a_fifth_too(
    rows: int, tokens: int, measured: float
) -> None:
    smollm2 = llama_3_8b(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    knobs = {"packing": False, "lora_r": 16, "lora_dropout": 0.0, "gradient_checkpointing": False}
    given = FinetuneConfig(batch_size=rows, gradient_accumulation=1, **knobs)
    settled = recipe.fit(recipe.settle(given, recipe.device_for(None)), 100)
    needed = estimate.memory(settled, estimate.shape_of(smollm2), tokens, cuda=False)
    assert needed.total / GIB == pytest.approx(measured, rel=0.2)
