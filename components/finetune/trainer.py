"""Train a LoRA adapter with trl's SFTTrainer on examples that are tokens already."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, set_seed
from trl import SFTTrainer

from components.finetune import processes, recipe
from components.finetune.callbacks import CheckpointClock, EarlyStop, Visible
from components.finetune.checkpoints import Checkpoints, keep_trying
from components.finetune.config import FinetuneConfig
from components.finetune.encode import Encoded
from components.finetune.speed import device_name, model_flops_per_token, peak_flops, peak_memory
from components.shared.errors import StoreError, unwritable
from components.shared.models import attach_adapter, load_base, load_tokenizer
from components.shared.progress import say
from components.shared.records import write_atomically

PATIENCE_ON_SIGTERM = 15.0  # seconds that a store may be away when the last checkpoint is written; Kubernetes gives 30


@dataclass(frozen=True)
class Material:
    """What is trained on: `held_out` examples are only watched."""

    base: str  # hub id or folder
    train: Sequence[Encoded]
    held_out: Sequence[Encoded] = ()
    start: Path | None = None  # weights of an adapter to go on from


class Trainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped here
    """SFTTrainer whose checkpoints go to the store; one that cannot be written costs a line, not the training."""

    checkpoints: Checkpoints | None = None
    clock: CheckpointClock | None = None

    def create_model_card(self, *arguments: Any, **options: Any) -> None:
        """Write none: the release has a card of its own."""

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        super()._save(output_dir, state_dict=state_dict or adapter_of(self.model))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        try:
            with self._together(folder):
                super()._save_checkpoint(model, trial)
            if self.checkpoints is not None and processes.rank() == 0:
                self._keep(self.checkpoints, step, folder)
        except Exception as error:
            problem = error if isinstance(error, StoreError) else unwritable(error)
            if problem is None:
                raise
            say("finetune", f"no checkpoint at step {step}: {problem.problem}; training goes on")
        processes.wait()
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _together(self, folder: Path) -> Iterator[None]:
        """Give process 0 the random numbers of the others, saved on nodes of their own; one that failed takes part."""
        own = folder / f"rng_state_{processes.rank()}.pth"
        try:
            yield
        finally:
            states = processes.gather((own.name, own.read_bytes() if own.exists() else b""))
        for name, state in states:
            if state and processes.rank() == 0:
                (folder / name).write_bytes(state)

    def _keep(self, checkpoints: Checkpoints, step: int, folder: Path) -> None:
        last = (
            self.clock is not None and self.clock.stopped
        )  # there will be no other: the store is waited for
        patience = PATIENCE_ON_SIGTERM if last else 0.0
        keep_trying(
            f"checkpoint of step {step}", lambda: checkpoints.save(step, folder), seconds=patience
        )


def train(
    config: FinetuneConfig,
    material: Material,
    out: Path,
    scratch: Path,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Write `out`/weights and `out`/steps.jsonl; return what a reader wants to know of the training.

    Goes on from the newest whole checkpoint. On SIGTERM writes one more and raises SystemExit(143).
    """
    resumed = _newest(checkpoints, scratch / "resume") if checkpoints else None
    visible, clock = Visible(), CheckpointClock(config.checkpoint_minutes)
    trainer = build_trainer(
        config, material, scratch, [visible, clock], resumed=resumed is not None
    )
    trainer.checkpoints, trainer.clock = checkpoints, clock
    if again := repeated(len(trainer.train_dataset), config.batch_size, processes.count()):
        say(
            "finetune",
            f"{again} rows of each epoch are read twice, so that all processes have as many",
        )
    if resumed:
        say("finetune", f"going on from the checkpoint of step {resumed.name.rsplit('-', 1)[1]}")
    with clock:
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if clock.stopped:
        raise SystemExit(143)
    rows = [row for row in trainer.state.log_history if "loss" in row or "eval_loss" in row]
    if processes.rank() == 0:
        weights = adapter_of(trainer.model)
        trainer.model.save_pretrained(
            str(out / "weights"), state_dict=weights, safe_serialization=True
        )
        write_atomically(
            out / "steps.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
        )
    facts = {**_losses(rows), **_speed(trainer, visible, material)}
    facts |= {"quantisation": config.quantisation, "sharding": config.sharding}
    return {**facts, "resumed": resumed is not None, "rows_repeated": again}


def adapter_of(model: Any) -> dict[str, Any]:
    """Return the trained weights alone: peft, asked to find them, would gather a shared-out base in every process."""
    return {name: weight.data for name, weight in model.named_parameters() if weight.requires_grad}


def repeated(rows: int, batch_size: int, count: int) -> int:
    """Return how many rows of an epoch accelerate's sampler gives out twice: it fills a batch for every process."""
    return -rows % (batch_size * count) if count > 1 else 0


def _newest(checkpoints: Checkpoints, folder: Path) -> Path | None:
    """Fetch the newest whole checkpoint, once on each node: all processes go on from the same one."""
    found = checkpoints.newest(folder) if processes.rank() == 0 else None
    name: str | None = processes.gather(found and found.name)[0]
    if name is None:
        return None
    with processes.first_on_node() as first:
        if first and processes.rank() > 0:
            checkpoints.fetch(int(name.rsplit("-", 1)[1]), folder / name)
    return folder / name


def build_trainer(
    config: FinetuneConfig,
    material: Material,
    scratch: Path,
    callbacks: Sequence[Any] = (),
    *,
    resumed: bool = False,
) -> Trainer:
    """Return the trainer, ready to train."""
    from datasets import Dataset

    set_seed(config.seed)
    tokenizer = load_tokenizer(material.base)
    attention = recipe.attention_for(config)
    if config.sharding == "fsdp":
        model = load_base(material.base, "none", attention, parts=processes.count())
    else:
        with processes.first_on_node():  # which fetches it
            model = load_base(material.base, config.quantisation, attention)
    model.config.use_cache = False
    if material.start:
        model = attach_adapter(model, material.start, "default", trainable=True)
    arguments = recipe.arguments(config, scratch, held_out=bool(material.held_out))
    arguments.eval_on_start &= not resumed
    if material.held_out and config.patience:
        callbacks = [*callbacks, EarlyStop(config.patience)]
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([example.row() for example in material.train]),
        eval_dataset=Dataset.from_list([example.row() for example in material.held_out])
        if material.held_out
        else None,
        processing_class=tokenizer,
        peft_config=None if material.start else recipe.lora(config, model),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _losses(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    losses = [row["loss"] for row in rows if "loss" in row]
    held_out = [row["eval_loss"] for row in rows if "eval_loss" in row]
    return {
        "steps": max((row["step"] for row in rows), default=0),
        "first_loss": losses[0] if losses else None,
        "final_loss": losses[-1] if losses else None,
        "held_out_losses": [
            round(loss, 4) for loss in held_out
        ],  # before training, then after each epoch
        "held_out_loss": held_out[-1] if held_out else None,
    }


def _speed(trainer: Trainer, visible: Visible, material: Material) -> dict[str, Any]:
    """Return the figures of the steps since it was started last; those before a resumed training are not counted."""
    seconds = max(visible.seconds, 1e-9)
    read = sum(len(example.input_ids) for example in material.train)
    share = visible.steps / max(trainer.state.max_steps, 1) * trainer.args.num_train_epochs
    useful = share * sum(example.taught for example in material.train)
    flops = model_flops_per_token(trainer.model, read / len(material.train)) * share * read
    return {
        "seconds": round(visible.seconds, 2),
        "tokens_per_second": round(visible.tokens / seconds, 1),
        "completion_tokens_per_second": round(useful / seconds, 1),
        "mfu": round(flops / seconds / peak_flops(), 4),
        "peak_memory": max(processes.gather(peak_memory())),  # of the process that needed most
        "device": device_name(),
    }
