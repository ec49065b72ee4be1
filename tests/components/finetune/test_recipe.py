"""The recipe: what each GPU gets or why it is refused, and steps that fit the data."""

import math
import random
from pathlib import Path

import pytest

from components.finetune import recipe
from components.finetune.config import FinetuneConfig
from components.finetune.recipe import MAX_EPOCHS, MAX_ROWS, MIN_STEPS, device_for
from components.shared.errors import ConfigError
from components.shared.models import load_base

CPU, GPU = device_for(None), device_for((9, 0))
SEVERAL = device_for((9, 0), processes=2)
REFERENCE = {  # the settings of the reference project, by the names of its libraries
    "r": 64,
    "lora_alpha": 16,
    "lora_dropout": 0.1,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "gradient_checkpointing": True,
    "optim": "paged_adamw_8bit",
    "learning_rate": 2e-4,
    "lr_scheduler_type": "linear",
    "warmup_steps": 5,
    "max_grad_norm": 0.3,
    "max_length": 2048,
    "packing": True,
}


@pytest.mark.parametrize(
    ("name", "capability"),
    [("Tesla V100", (7, 0)), ("Jetson Xavier", (7, 2)), ("Tesla T4", (7, 5)), ("GTX 1080", (6, 1))],
)
def test_a_gpu_without_bf16_is_refused_in_one_line(name: str, capability: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as found:
        device_for(capability, name=name)
    version = ".".join(map(str, capability))
    assert str(found.value).startswith(f"{name} (compute capability {version}) has neither bf16")
    assert "train on an Ampere GPU or newer" in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "capability",
    [
        (8, 0),  # A100
        (8, 6),  # A10, RTX 30
        (8, 7),  # Orin
        (8, 9),  # L4, L40S, RTX 40
        (9, 0),  # H100, H200
        (10, 0),  # B200
        (10, 3),  # B300
        (11, 0),  # Thor
        (12, 0),  # RTX 50
    ],
)
def test_the_table_of_gpus(capability: tuple[int, int]) -> None:
    assert device_for(capability) == recipe.Device("bf16", "nf4", "paged_adamw_8bit", "varlen")
    assert device_for(capability, processes=2).optimizer == "adamw_8bit"  # bitsandbytes issue 1708


def test_a_cpu_trains_in_float32() -> None:
    assert recipe.Device("float32", "none", "adamw_torch", "sdpa") == CPU


@pytest.mark.parametrize(
    ("knobs", "device", "processes", "optimizer"),
    [
        ({}, CPU, 1, "adamw_torch"),
        ({}, GPU, 1, "paged_adamw_8bit"),
        ({}, SEVERAL, 2, "adamw_8bit"),
        ({"optimizer": "paged_adamw_8bit"}, CPU, 1, "adamw_torch"),
        ({"optimizer": "paged_adamw_8bit"}, SEVERAL, 2, "adamw_8bit"),
        ({"optimizer": "paged_lion_32bit"}, SEVERAL, 2, "lion_32bit"),
        ({"optimizer": "adamw_torch_fused"}, GPU, 1, "adamw_torch_fused"),
    ],
)
def test_paged_optimizers_are_for_one_process_on_a_gpu(
    knobs: dict[str, str], device: recipe.Device, processes: int, optimizer: str
) -> None:
    settled = recipe.settle(FinetuneConfig(**knobs), device, processes)
    assert settled.optimizer == optimizer
    assert recipe.settle(settled, device, processes) == settled


@pytest.mark.parametrize("attention", ["varlen", "flash_attention_2", "flex_attention"])
def test_attention_of_a_gpu_is_refused_without_one(attention: str) -> None:
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
        recipe.settle(FinetuneConfig(attention=attention), CPU)
    if attention == "flash_attention_2":
        with pytest.raises(ConfigError, match="the flash-attn package is missing"):
            recipe.settle(FinetuneConfig(attention=attention), GPU)


def test_varlen_is_for_packed_rows() -> None:
    assert recipe.settle(FinetuneConfig(packing=False), GPU).attention == "sdpa"
    with pytest.raises(ConfigError, match="attention=varlen: is for packed rows"):
        recipe.settle(FinetuneConfig(attention="varlen", packing=False), GPU)


def fitted(
    rows: int, processes: int = 1, device: recipe.Device = GPU, **knobs: object
) -> FinetuneConfig:
    config = recipe.settle(FinetuneConfig(**knobs), device, processes)  # type: ignore[arg-type]
    return recipe.fit(config, rows, processes)


def test_for_any_number_of_rows_there_are_enough_steps_and_little_warm_up() -> None:
    choose = random.Random(0)
    counts = [*range(50, 400), *(choose.randint(400, 50_000) for _ in range(300)), 50_000]
    for rows in counts:
        for packing in (True, False):
            config = fitted(rows, packing=packing)
            steps = recipe.steps_per_epoch(config, rows)
            assert steps >= MIN_STEPS
            a_step = config.batch_size * config.gradient_accumulation
            assert a_step <= MAX_ROWS
            assert a_step == MAX_ROWS or steps < 2 * MIN_STEPS + 1, "no more steps than needed"
            assert config.warmup_steps <= 0.1 * steps * config.epochs
            assert 1 <= config.epochs <= 3


@pytest.mark.parametrize("rows", range(1, 20))
def test_few_rows_make_a_step_each_and_are_read_more_often(rows: int) -> None:
    config = fitted(rows)
    assert recipe.steps_per_epoch(config, rows) == rows
    assert 3 <= config.epochs <= MAX_EPOCHS
    assert config.warmup_steps <= 0.1 * rows * config.epochs


@pytest.mark.parametrize(
    ("knobs", "device", "batch", "accumulation"),
    [
        ({}, GPU, 4, 4),
        ({"attention": "sdpa"}, GPU, 1, 16),
        ({"packing": False}, GPU, 4, 4),
        ({"batch_size": 8}, GPU, 8, 2),
        ({"gradient_accumulation": 4, "packing": False}, GPU, 4, 4),
        ({"gradient_accumulation": 16, "packing": False}, GPU, 1, 16),
        ({"recipe": "reference"}, GPU, 4, 4),
    ],
)
def test_one_packed_row_at_a_time_with_sdpa(
    knobs: dict[str, object], device: recipe.Device, batch: int, accumulation: int
) -> None:
    config = fitted(5000, device=device, **knobs)
    assert (config.batch_size, config.gradient_accumulation) == (batch, accumulation)


def test_the_reference_recipe_is_one_setting_away(tmp_path: Path, base: Path) -> None:
    config = fitted(40, recipe="reference")
    assert recipe.steps_per_epoch(config, 40) == 3
    config = config.changed(optimizer="adamw_torch")
    made = recipe.arguments(config, tmp_path, CPU)
    adapter = recipe.lora(config, load_base(str(base)))
    ours = {}
    for name in REFERENCE:
        ours[name] = getattr(adapter if hasattr(adapter, name) else made, name)
    assert ours | {"optim": GPU.optimizer} == REFERENCE
    assert made.packing_strategy == "bfd"
    assert adapter.target_modules == set(recipe.PROJECTIONS)


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_a_step_covers_the_same_rows_in_any_number_of_processes(processes: int) -> None:
    for rows in (400, 5000):
        for packing in (True, False):
            config = fitted(rows, processes, packing=packing)
            alone = fitted(rows, packing=packing)
            each = config.batch_size * recipe.accumulation_for(config, processes)
            assert processes * each == alone.batch_size * alone.gradient_accumulation or rows == 400


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "fix"),
    [
        (4, 4, 8, "set finetune.batch_size=2, finetune.gradient_accumulation=8"),
        (4, 4, 3, "a number .* divides 16"),
    ],
)
def test_a_batch_that_cannot_be_shared_names_the_fix(
    batch: int, accumulation: int, processes: int, fix: str
) -> None:
    knobs = {"batch_size": batch, "gradient_accumulation": accumulation}
    with pytest.raises(ConfigError, match=f"cannot be shared by {processes} processes; .*{fix}"):
        fitted(1000, processes, **knobs)


def test_rows_are_counted_as_trl_packs_them() -> None:
    from datasets import Dataset
    from trl import pack_dataset

    choose = random.Random(1)
    config = FinetuneConfig(max_length=128)
    for count in (1, 7, 50, 500):
        lengths = [choose.randint(1, 128) for _ in range(count)]
        data = Dataset.from_dict({"input_ids": [[0] * length for length in lengths]})
        packed = pack_dataset(data, 128, strategy="bfd")
        assert recipe.rows_of(config, lengths) == len(packed)
        assert sum(len(row) for row in packed["input_ids"]) == sum(lengths), "no example is cut"
    assert recipe.rows_of(config.changed(packing=False), lengths) == 500
    assert math.ceil(sum(lengths) / 128) <= recipe.rows_of(config, lengths)


def test_a_tracker_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    config = FinetuneConfig(report_to=("mlflow", "nowhere"))
    with pytest.raises(ConfigError, match=r"report_to: .*nowhere is not installed here; install"):
        recipe.arguments(config, tmp_path, CPU)
