"""Preflight: memory and time are estimated from a configuration alone, and what cannot fit is refused with the fix."""

from dataclasses import replace
from typing import Any

import pytest

from components.finetune import preflight
from components.finetune.config import FinetuneConfig
from components.finetune.preflight import GIB, Shape
from components.shared.errors import ConfigError, ModelError
from tests.models import llama_3_8b

LONGEST = 1000  # tokens


@pytest.fixture(scope="module")
def shape() -> Shape:
    return preflight.shape_of(llama_3_8b())


def config(**knobs: Any) -> FinetuneConfig:
    return FinetuneConfig(base_model="an-8b", **knobs)


def test_the_weights_of_an_8b_model_are_counted_without_making_them(shape: Shape) -> None:
    assert shape.linear + shape.other == 8_030_261_248
    assert shape.adapted * 64 == 167_772_160  # what peft makes of r=64 on all seven projections


def test_the_seeds_recipe_for_8b_fits_a_24_gib_gpu_in_4_bits_and_not_in_16(shape: Shape) -> None:
    needed = preflight.check(config(), shape, LONGEST, there=24 * GIB, cuda=True)
    assert 4.5 < needed.weights / GIB < 6
    with pytest.raises(ModelError) as found:
        preflight.check(
            config(quantisation="none", batch_size=1), shape, LONGEST, there=16 * GIB, cuda=True
        )
    assert "an-8b: training needs about" in str(found.value)
    assert "finetune.quantisation=nf4" in str(found.value)


def test_the_fix_that_is_named_fits(shape: Shape) -> None:
    plain = config(quantisation="none", gradient_checkpointing=False)
    for there in (20 * GIB, 30 * GIB, 40 * GIB, 60 * GIB):
        with pytest.raises(ModelError, match="set finetune") as found:
            preflight.check(plain, shape, LONGEST, there=there, cuda=True)
        named = str(found.value).rsplit("set ", 1)[1].split(":")[0]
        fixed = FinetuneConfig.build(
            plain.to_dict(),
            dict(part.removeprefix("finetune.").split("=") for part in named.split(", ")),
        )
        assert (
            fixed.batch_size * fixed.gradient_accumulation
            == plain.batch_size * plain.gradient_accumulation
        )
        preflight.check(fixed, shape, LONGEST, there=there, cuda=True)


def test_nothing_helps_a_device_that_is_far_too_small(shape: Shape) -> None:
    with pytest.raises(ModelError, match="use a smaller base model"):
        preflight.check(config(), shape, LONGEST, there=2 * GIB, cuda=True)


@pytest.mark.parametrize(
    "more", [{"lora_r": 128}, {"batch_size": 8}, {"gradient_checkpointing": False}]
)
def test_more_of_anything_needs_more(shape: Shape, more: dict[str, Any]) -> None:
    before = preflight.memory(config(), shape, LONGEST, cuda=True).total
    assert preflight.memory(config(**more), shape, LONGEST, cuda=True).total > before


def test_the_time_grows_with_the_work_and_falls_with_the_device(shape: Shape) -> None:
    once = preflight.seconds(config(epochs=1), shape, 10**6, 500, peak=1e15)
    assert preflight.seconds(config(epochs=3), shape, 10**6, 500, peak=1e15) == pytest.approx(
        3 * once
    )
    assert preflight.seconds(config(epochs=1), shape, 10**6, 500, peak=2e15) == pytest.approx(
        once / 2
    )
    assert (
        preflight.seconds(config(epochs=1), replace(shape, linear=0), 10**6, 500, peak=1e15) < once
    )


def test_a_base_is_shared_out_where_a_process_cannot_hold_it(shape: Shape) -> None:
    def sharding(there: int, processes: int = 4, **knobs: Any) -> str:
        placed = preflight.place(
            config(**knobs), shape, LONGEST, there=there, cuda=True, processes=processes
        )
        return placed.sharding

    assert sharding(20 * GIB) == "ddp"
    assert sharding(20 * GIB, quantisation="none") == "fsdp"
    assert sharding(80 * GIB, quantisation="none") == "ddp"
    assert sharding(20 * GIB, quantisation="none", processes=1) == "ddp", "nobody to share it with"
    assert sharding(80 * GIB, sharding="fsdp") == "fsdp"
    assert sharding(4 * GIB, quantisation="nf4") == "ddp", "weights in 4 bits cannot be shared out"
    with pytest.raises(ConfigError, match="weights in 4 bits cannot be shared out"):
        sharding(24 * GIB, quantisation="nf4", sharding="fsdp")


def test_what_is_shared_out_needs_less_of_each_and_is_not_in_4_bits(shape: Shape) -> None:
    def needed(processes: int, **knobs: Any) -> preflight.Memory:
        settled = preflight.settled(config(**knobs), cuda=True)
        return preflight.memory(settled, shape, LONGEST, cuda=True, processes=processes)

    whole = needed(4, sharding="ddp", quantisation="none")
    two, four = needed(2, sharding="fsdp"), needed(4, sharding="fsdp")
    assert whole.weights > two.weights > four.weights > whole.weights / 4
    assert whole.adapter == four.adapter
    assert whole.activations == four.activations


def test_too_little_for_each_process_says_so_and_names_the_fix(shape: Shape) -> None:
    plain = config(quantisation="none", sharding="fsdp", batch_size=4)
    with pytest.raises(ModelError, match=r"in each of 2 processes .*set finetune"):
        preflight.check(plain, shape, LONGEST, there=14 * GIB, cuda=True, processes=2)
