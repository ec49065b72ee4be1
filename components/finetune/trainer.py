"""Train a LoRA adapter: trl's SFTTrainer on prompt and completion, with the loss on completion and end token only."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.shared.models import device, load_base, load_tokenizer
from components.shared.progress import Progress, say
from components.shared.records import Example, write_atomically

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def train(config: FinetuneConfig, base: str, examples: Sequence[Example], out: Path, scratch: Path) -> dict[str, Any]:
    """Write `out`/weights and `out`/steps.jsonl; return what a reader wants to know of the training.

    `base` is a hub id or folder. Examples are expected to fit into config.max_length.
    """
    trainer = build_trainer(config, base, examples, scratch)
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    trainer.model.save_pretrained(str(out / "weights"), safe_serialization=True)
    rows = [row for row in trainer.state.log_history if "loss" in row]
    write_atomically(out / "steps.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    tokens = trainer.state.num_input_tokens_seen
    return {
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "first_loss": rows[0]["loss"] if rows else None,
        "final_loss": rows[-1]["loss"] if rows else None,
        "device": _device_name(),
    }


def token_counts(base: str, examples: Sequence[Example]) -> list[int]:
    """Return the length of each example in tokens, its end token included."""
    tokenizer = load_tokenizer(base)
    return [len(ids) + 1 for ids in tokenizer([e.prompt + e.completion for e in examples])["input_ids"]]


def build_trainer(config: FinetuneConfig, base: str, examples: Sequence[Example], scratch: Path) -> Any:
    """Return the SFTTrainer, ready to train."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    set_seed(config.seed)
    tokenizer = load_tokenizer(base)
    model = load_base(base, config.quantisation)
    model.config.use_cache = False
    rows = [{"prompt": example.prompt, "completion": example.completion} for example in examples]
    trainer = SFTTrainer(
        model=model,
        args=_arguments(config, scratch),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=PROJECTIONS,
            bias="none",
            task_type="CAUSAL_LM",
        ),
        callbacks=[_progress_callback()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(config: FinetuneConfig, scratch: Path) -> Any:
    import torch
    from trl import SFTConfig

    cuda = device() == "cuda"
    bf16 = cuda and torch.cuda.is_bf16_supported()
    optimizer = config.optimizer
    if not cuda and ("8bit" in optimizer or "paged" in optimizer):
        say("finetune", f"{optimizer} needs CUDA: adamw_torch takes its place")
        optimizer = "adamw_torch"
    return SFTConfig(
        output_dir=str(scratch),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        gradient_checkpointing=config.gradient_checkpointing,
        optim=optimizer,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        max_length=config.max_length,
        packing=config.packing,
        packing_strategy="bfd",
        completion_only_loss=True,
        bf16=bf16,
        fp16=cuda and not bf16,
        tf32=True if bf16 else None,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        include_num_input_tokens_seen="all",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
    )


def _progress_callback() -> Any:
    from transformers import TrainerCallback

    class Report(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        """Say how far the training is, in the house's own lines."""

        progress: Progress

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.progress = Progress("finetune", "steps", state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                rate = f"learning rate {float(logs['learning_rate']):.2g}"
                self.progress.step(f"loss {float(logs['loss']):.3f}  {rate}")

    return Report()


def _device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
