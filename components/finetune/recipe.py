"""The recipe: what the device can do, how many rows make a step, and the libraries' own arguments.

`finetune.recipe=reference` takes the constants of the reference project. Ours differs on purpose:

    pad token          never the end token alone: the end would be masked, and the model would never
    stop
    end token          the last token of every completion, and part of the loss
    loss               over the completion only; the prompt is given, not learned
    packing            examples never attend to each other, and none is cut in two ("bfd", not
    "wrapped")
    precision          bf16 on a GPU, float32 on a CPU
    steps              as many rows a step, as much warm-up and as many epochs as the data allow
    (see `fit`)
    rows at a time     one packed row with sdpa, whose mask covers all pairs of tokens of all rows
    at a time
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.shared.errors import ConfigError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ALL_LINEAR = "all-linear"  # peft's word for it

MIN_STEPS = 20  # of an epoch, where there are as many rows
MAX_ROWS = 16  # to a step, as in the reference project
ROWS_AT_A_TIME = 4
WARMUP_SHARE = 0.05  # of all steps
EPOCHS, MAX_EPOCHS = 3, 6
MANY_ROWS = 10_000  # from here on fewer epochs do

OLD_GPUS = {"V100": (7, 0), "T4": (7, 5), "RTX 20": (7, 5), "P100": (6, 0)}


@dataclass(frozen=True)
class Device:
    """How a training runs on a kind of device."""

    precision: str  # of weights and activations: bf16 or float32
    quantisation: str  # nf4 or none
    optimizer: str  # a name of transformers
    attention: str  # of packed rows: a name of transformers, or varlen (packed.py)


def device_for(
    capability: tuple[int, int] | None,
    *,
    processes: int = 1,
    name: str = "this GPU",
) -> Device:
    """Return how a training runs on a GPU of a compute capability, or on a CPU (None).

    Raises ConfigError below 8.0 (V100, T4, RTX 20): what those compute in bf16 is emulated.
    Paged optimizers are for one process: on several, resuming crashes (bitsandbytes issue 1708).
    """
    if capability is None:
        return Device("float32", "none", "adamw_torch", "sdpa")
    if capability < (8, 0):
        major, minor = capability
        problem = f"{name} (compute capability {major}.{minor}) has neither bf16 nor TF32"
        raise ConfigError(problem, "train on an Ampere GPU or newer: A10, A100, L4, RTX 30, H100")
    return Device(
        precision="bf16",
        quantisation="nf4",
        optimizer="paged_adamw_8bit" if processes == 1 else "adamw_8bit",
        attention="varlen",
    )


def this_device(processes: int = 1) -> Device:
    """Return how a training runs here; raise ConfigError where it cannot."""
    import torch

    if not torch.cuda.is_available():
        return device_for(None)
    return device_for(
        torch.cuda.get_device_capability(),
        processes=processes,
        name=torch.cuda.get_device_name(),
    )


def check_compiler() -> None:
    """Raise ConfigError on a GPU where Triton cannot build what trl's loss needs."""
    import torch

    if not torch.cuda.is_available():
        return
    from components.finetune.gpu_check import try_triton

    try:
        try_triton()
    except Exception as error:  # whatever the compiler, the linker or the loader says
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fix = "install gcc, libc6-dev and python3-dev, and let TRITON_CACHE_DIR execute files"
        raise ConfigError(f"Triton cannot compile for this GPU: {first}", fix) from None


def resolve(
    config: FinetuneConfig,
    model_config: Any,
    lengths: Sequence[int],
    device: Device,
    processes: int = 1,
) -> tuple[FinetuneConfig, int]:
    """Return the config with all settled that it leaves open, and the rows of an epoch.

    `lengths` are the examples' tokens. A base published in 4 bits stays so.
    """
    from components.shared.models import published_quantisation

    if published_quantisation(model_config) == "nf4":
        config = config.changed(quantisation="nf4")
    config = settle(bounded(config, model_config), device, processes)
    rows = rows_of(config, lengths)
    return fit(config, rows, processes), rows


def bounded(config: FinetuneConfig, model_config: Any) -> FinetuneConfig:
    """Return the config with rows no longer than the base has positions for."""
    from components.shared.models import context_length

    return config.changed(max_length=min(config.max_length, context_length(model_config)))


def settle(config: FinetuneConfig, device: Device, processes: int = 1) -> FinetuneConfig:
    """Return the config with `auto` replaced by what the device does; refuse what it cannot."""
    cpu = device.precision == "float32"
    chosen = {"quantisation": config.quantisation, "attention": config.attention}
    for name, value in chosen.items():
        if value == "auto":
            chosen[name] = getattr(device, name)
    if config.attention == "auto" and not config.packing:
        chosen["attention"] = "sdpa"
    if lacking := _lacking(chosen["attention"], config, cpu=cpu):
        problem = f"finetune.attention={config.attention}: {lacking}"
        raise ConfigError(problem, "leave it at auto")
    optimizer = config.optimizer
    if optimizer == "auto" or (cpu and ("8bit" in optimizer or "paged" in optimizer)):
        optimizer = device.optimizer
    elif processes > 1:
        optimizer = optimizer.removeprefix("paged_")
    return config.changed(**chosen, optimizer=optimizer)


def _lacking(attention: str, config: FinetuneConfig, *, cpu: bool) -> str:
    """Return what an attention needs and does not have here, or ""."""
    if cpu and attention != "sdpa":
        return "needs an NVIDIA GPU"
    if attention == "varlen" and not config.packing:
        return "is for packed rows"
    if attention == "flash_attention_2" and find_spec("flash_attn") is None:
        return "the flash-attn package is missing"
    return ""


def fit(config: FinetuneConfig, rows: int, processes: int = 1) -> FinetuneConfig:
    """Return a settled config with steps that fit `rows` rows an epoch: packed ones, or examples.

    What is 0 (warm-up: -1) follows from the rows: 16 of them make a step, or 8, 4, 2, 1 until an
    epoch has MIN_STEPS steps; warm-up is a share of all steps; few rows are read more often.
    """
    if config.recipe == "reference":
        constants = {"epochs": 3.0, "batch_size": 4, "gradient_accumulation": 4, "warmup_steps": 5}
        if config.gradient_checkpointing is None:
            config = config.changed(gradient_checkpointing=True)
    else:
        constants = _fitted(config, rows, processes)
    # What was set by hand stays.
    left_open = {"epochs": 0, "batch_size": 0, "gradient_accumulation": 0, "warmup_steps": -1}
    for name, open_value in left_open.items():
        if getattr(config, name) != open_value:
            constants.pop(name)
    config = config.changed(**constants)
    accumulation_for(config, processes)
    return config


def _fitted(config: FinetuneConfig, rows: int, processes: int) -> dict[str, Any]:
    rows_a_step = MAX_ROWS
    while rows_a_step > 1 and rows / rows_a_step < MIN_STEPS:
        rows_a_step //= 2
    share = max(rows_a_step // processes, 1)  # of each process
    at_a_time = 1 if config.packing and config.attention == "sdpa" else ROWS_AT_A_TIME
    if config.gradient_accumulation:
        at_a_time = min(at_a_time, max(rows_a_step // config.gradient_accumulation, 1))
    batch = config.batch_size or min(at_a_time, share)
    accumulation = config.gradient_accumulation or processes * max(share // batch, 1)
    epochs: float = EPOCHS
    if rows < MIN_STEPS:
        epochs = min(math.ceil(EPOCHS * MIN_STEPS / max(rows, 1)), MAX_EPOCHS)
    elif rows > MANY_ROWS:
        epochs = max(EPOCHS * MANY_ROWS // rows, 1)
    epochs = config.epochs or epochs
    sized = config.changed(batch_size=batch, gradient_accumulation=accumulation)
    total = steps_per_epoch(sized, rows) * epochs
    return {
        "epochs": float(epochs),
        "batch_size": batch,
        "gradient_accumulation": accumulation,
        "warmup_steps": int(WARMUP_SHARE * total),
    }


def rows_of(config: FinetuneConfig, lengths: Sequence[int]) -> int:
    """Return the rows of an epoch: examples, or what trl's best-fit decreasing packs them into."""
    if not config.packing:
        return len(lengths)
    room: list[int] = []  # left in each row, ascending
    for length in sorted(lengths, reverse=True):
        at = bisect_left(room, length)
        left = room.pop(at) if at < len(room) else config.max_length
        insort(room, left - length)
    return len(room)


def steps_per_epoch(config: FinetuneConfig, rows: int) -> int:
    """Return a fitted config's optimizer steps an epoch: the last one may hold fewer rows."""
    return math.ceil(math.ceil(rows / config.batch_size) / config.gradient_accumulation)


def describe(config: FinetuneConfig, rows: int) -> str:
    """Return a fitted config's steps in one line."""
    steps = steps_per_epoch(config, rows)
    each = f"{config.batch_size} x {config.gradient_accumulation}"
    return (
        f"{rows} rows, {each} to a step: {steps} steps an epoch, {config.epochs:g} epochs, "
        f"{config.warmup_steps} steps of warm-up"
    )


def accumulation_for(config: FinetuneConfig, processes: int) -> int:
    """Return each process's batches to one step, which covers as many rows as in one process."""
    if config.gradient_accumulation % processes == 0:
        return config.gradient_accumulation // processes
    rows = config.batch_size * config.gradient_accumulation
    fix = f"train in a number of processes that divides {rows}"
    for batch in range(config.batch_size, 0, -1):
        if rows % (batch * processes) == 0:
            given = f"finetune.batch_size={batch}, finetune.gradient_accumulation={rows // batch}"
            fix = f"set {given}"
            break
    asked = f"finetune.gradient_accumulation={config.gradient_accumulation}"
    raise ConfigError(f"{asked}: cannot be shared by {processes} processes", fix)


def targets_of(model: Any) -> str | list[str]:
    """Return where adapters go: all seven projections, or all linear layers where they differ."""
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    return list(PROJECTIONS) if names.issuperset(PROJECTIONS) else ALL_LINEAR


def lora(config: FinetuneConfig, model: Any) -> Any:
    """Return peft's LoraConfig."""
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets_of(model),
        bias="none",
        task_type="CAUSAL_LM",
    )


def arguments(
    config: FinetuneConfig,
    scratch: Path,
    device: Device,
    *,
    processes: int = 1,
    held_out: bool = False,
) -> Any:
    """Return trl's SFTConfig of a fitted config; a callback asks for checkpoints, no schedule."""
    from transformers.integrations import get_available_reporting_integrations
    from trl import SFTConfig

    known = get_available_reporting_integrations()
    if missing := set(config.report_to) - set(known):
        raise ConfigError(
            f"finetune.report_to: {', '.join(sorted(missing))} is not installed here",
            f"install its package; here are: {', '.join(known) or 'none'}",
        )
    bf16 = device.precision == "bf16"
    return SFTConfig(
        output_dir=str(scratch),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=accumulation_for(config, processes),
        activation_checkpointing=bool(config.gradient_checkpointing),
        ddp_find_unused_parameters=False,
        optim=config.optimizer,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        max_length=config.max_length,
        packing=config.packing,
        packing_strategy="bfd",
        eval_packing=False,
        bf16=bf16,
        tf32=True if bf16 else None,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number must be seen
        include_num_input_tokens_seen="all",
        eval_strategy="epoch" if held_out else "no",
        eval_on_start=held_out,
        prediction_loss_only=True,
        save_strategy="no",
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=bf16,
    )
