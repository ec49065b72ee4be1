"""The recipe: the seed project's values, on today's libraries.

`FinetuneConfig`'s defaults are the seed's; `SEED` holds them once more in the libraries' own words, and a test keeps
the two equal. What differs differs on purpose:

    pad token          one of its own, never the end token: the end would be masked, and the model would never stop
    end token          the last token of every completion, and part of the loss
    loss               over the completion only; the prompt is given, not learned
    packing            examples never attend to each other, and none is cut in two ("bfd", not "wrapped")
    precision          bf16 where the device has it, float32 on a CPU
    seed               everything random is seeded: the same data and recipe give the same adapter
    checkpointing      of gradients: only where the device asks for it (see `gradient_checkpointing`)
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.finetune import processes
from components.finetune.config import FinetuneConfig
from components.shared.errors import ConfigError
from components.shared.models import device
from components.shared.progress import say

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

ALL_LINEAR = "all-linear"  # peft's word for it

SEED: dict[str, Any] = {
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


def targets_of(model: Any) -> str | list[str]:
    """Return where adapters go: all seven projections of every layer, or all linear layers of other architectures."""
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


def optimizer_for(config: FinetuneConfig) -> str:
    """Return the optimizer that this device can run: paged and 8-bit ones need CUDA."""
    name = config.optimizer
    if device() != "cuda" and ("8bit" in name or "paged" in name):
        say("finetune", f"{name} needs CUDA: adamw_torch takes its place")
        return "adamw_torch"
    return name


def accumulation_for(config: FinetuneConfig, count: int) -> int:
    """Return the batches of each process to one step, which covers as many rows as in one process."""
    if config.gradient_accumulation % count == 0:
        return config.gradient_accumulation // count
    rows = config.batch_size * config.gradient_accumulation
    fix = f"train in a number of processes that divides {rows}"
    for batch in range(config.batch_size, 0, -1):
        if rows % (batch * count) == 0:
            fix = f"set finetune.batch_size={batch}, finetune.gradient_accumulation={rows // batch}"
            break
    problem = f"finetune.gradient_accumulation={config.gradient_accumulation}: cannot be shared by {count} processes"
    raise ConfigError(problem, fix)


def attention_for(config: FinetuneConfig) -> str:
    """Return transformers' name of the attention to use; raise ConfigError for one that cannot run here."""
    flash = find_spec("flash_attn") is not None
    if config.attention == "auto":
        return "flash_attention_2" if device() == "cuda" and flash else "sdpa"
    if config.attention != "sdpa" and device() != "cuda":
        raise ConfigError(
            f"finetune.attention={config.attention}: needs an NVIDIA GPU", "leave it at auto"
        )
    if config.attention == "flash_attention_2" and not flash:
        raise ConfigError(
            "finetune.attention=flash_attention_2: the flash-attn package is missing",
            "leave it at auto",
        )
    return config.attention


def _check_liger(config: FinetuneConfig) -> None:
    if config.liger and device() != "cuda":
        raise ConfigError("finetune.liger=true: needs an NVIDIA GPU", "leave it at false")
    if config.liger and find_spec("liger_kernel") is None:
        raise ConfigError(
            "finetune.liger=true: the liger-kernel package is missing",
            "install it, or leave it out",
        )


def arguments(config: FinetuneConfig, scratch: Path, *, held_out: bool = False) -> Any:
    """Return trl's SFTConfig; checkpoints are asked for by a callback, not by a schedule."""
    import torch
    from trl import SFTConfig

    _check_liger(config)
    cuda = device() == "cuda"
    bf16 = cuda and torch.cuda.is_bf16_supported()
    return SFTConfig(
        output_dir=str(scratch),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=accumulation_for(config, processes.count()),
        gradient_checkpointing=config.gradient_checkpointing,
        ddp_find_unused_parameters=False,
        optim=optimizer_for(config),
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
        fp16=cuda and not bf16,
        tf32=True if bf16 else None,
        use_liger_kernel=config.liger,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        include_num_input_tokens_seen="all",
        eval_strategy="epoch" if held_out else "no",
        eval_on_start=held_out,
        prediction_loss_only=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
    )
