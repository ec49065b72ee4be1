"""One training on one page: load, encode, fit, train, save.

`Training` says what is to be trained, and its key names the adapter in the store. `run` does it,
in this process or together with others that `accelerate launch` or a TrainJob started (see
worker.py).
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.finetune import distributed, estimate, recipe
from components.finetune.base import Base
from components.finetune.config import TINY, FinetuneConfig
from components.finetune.encode import Encoded, encode, split_by_length
from components.shared.bases import copy_tokenizer
from components.shared.errors import DataError, ModelError, StoreError
from components.shared.memory import available_memory
from components.shared.progress import say
from components.shared.records import Adapter, Example, digest, file_digest, write_atomically
from components.shared.releases import Release, current
from components.shared.store import Store

if TYPE_CHECKING:
    from components.finetune.checkpoints import Checkpoints
    from components.finetune.trainer import ProgressCallback, Trainer

LIBRARIES = ("torch", "transformers", "trl", "peft")
# Knobs that do not change what is trained. Base and release to go on from have identities of their
# own; where it is trained and in how many processes changes what dropout draws, and adapter.json
# tells.
EXCLUDED_FROM_KEY = (
    *("store", "base_model", "continue_from", "train_anyway"),
    *("checkpoint_minutes", "processes", "nodes", "report_to"),
)
STORE_PATIENCE_S = 300.0  # that the store may be away when a trained adapter is put there


@dataclass(frozen=True)
class Training:
    """What is to be trained; `start` is the release whose adapter it goes on from."""

    config: FinetuneConfig
    store: Store
    base: Base
    examples: Sequence[Example]
    start: Release | None = None

    @cached_property
    def train_digest(self) -> str:
        """Return the hash of the examples."""
        return digest([example.to_dict() for example in self.examples])

    @cached_property
    def key(self) -> str:
        """Return the hash of everything that the trained weights depend on."""
        knobs = self.config.to_dict()
        for name in EXCLUDED_FROM_KEY:
            knobs.pop(name, None)
        versions = {name: version(name) for name in LIBRARIES}
        return digest([knobs, self.base.identity, self.train_digest, self.continued, versions])

    @property
    def continued(self) -> str:
        """Return the digest of the adapter that training goes on from, or nothing."""
        return self.start.adapter_digest if self.start else ""

    @property
    def prefix(self) -> str:
        """Return where in the store the adapter is put."""
        return f"adapters/{self.key}"


@dataclass(frozen=True)
class Data:
    """What is trained on: `held_out` is only watched, `too_long` does not fit into a row."""

    train: Sequence[Encoded]
    held_out: Sequence[Encoded] = ()
    too_long: Sequence[Encoded] = ()

    @property
    def lengths(self) -> list[int]:
        """Return the tokens of each example to train on."""
        return [len(example) for example in self.train]


def run(training: Training) -> None:
    """Train and put the adapter into the store; raise SystemExit(128 + signal) when asked to stop.

    Goes on from the newest whole checkpoint of the same training. Nothing that holds NaN is
    stored.
    """
    from components.finetune.checkpoints import Checkpoints, keep_trying

    store, checkpoints = training.store, Checkpoints(training.store, training.key)
    recipe.check_compiler()
    data = load_data(training)
    config = plan(training, data)
    with distributed.shared_folder("arxtune-finetune-") as scratch:
        start = fetch_start(training, scratch / "start")
        resume = checkpoints.newest(scratch / "resume")
        trainer = build_trainer(
            config, training.base.path, data, scratch / "trainer", start, resumed=bool(resume)
        )
        signal = train(trainer, config, checkpoints, resume)
        if distributed.rank() == 0:
            out = scratch / "adapter"
            save(training, config, data, trainer, out)
            put = lambda: store.put_folder(training.prefix, out)  # noqa: E731
            keep_trying("adapter", put, seconds=STORE_PATIENCE_S)
            with contextlib.suppress(StoreError):  # only room is lost
                checkpoints.clear()
        distributed.barrier()
    if signal:  # in the last step
        raise SystemExit(128 + signal)


def load_data(training: Training) -> Data:
    """Return the examples as tokens, split; raise DataError when none fits into a row."""
    from components.shared.models import load_config, load_tokenizer

    config = recipe.bounded(training.config, load_config(training.base.path))
    tokenizer = load_tokenizer(training.base.path)
    fitting, too_long = split_by_length(encode(tokenizer, training.examples), config.max_length)
    if not fitting:
        shortest = min(map(len, too_long))
        problem = f"no example fits into {config.max_length} tokens: the shortest has {shortest}"
        fix = "raise finetune.max_length, or name a base with more positions than that"
        raise DataError(problem, fix)
    watched = held_out_papers({example.paper for example in fitting}, config.held_out, config.seed)
    train: list[Encoded] = []
    held_out: list[Encoded] = []
    for example in fitting:
        part = held_out if example.paper in watched else train
        part.append(example)
    counts = f"{len(train)} examples to train on, {len(held_out)} to watch"
    say("finetune", f"{counts}, up to {max(map(len, fitting))} tokens, on {training.base.name}")
    return Data(train, held_out, too_long)


def held_out_papers(papers: set[str], share: float, seed: int) -> set[str]:
    """Choose the papers that are watched: whole ones, by a hash, and always fewer than all."""
    ranked = sorted(papers, key=lambda paper: digest([seed, paper]))
    wanted = max(round(share * len(ranked)), 1 if share else 0)
    return set(ranked[: min(wanted, len(ranked) - 1)])


def plan(training: Training, data: Data) -> FinetuneConfig:
    """Return the config fitted to device and data; say its needs, refuse what cannot fit."""
    from components.finetune.speed import device_name, gpu_name
    from components.shared.models import device, load_config

    config, rows = fitted(training.config, training.base.path, data)
    made = estimate.make_plan(
        config,
        load_config(training.base.path),
        estimate.Work.of(data.lengths, list(map(len, data.held_out))),
        there=min(distributed.all_gather(available_memory())),  # all come to the same plan
        cuda=device() == "cuda",
        gpu=gpu_name(),
        rows_open=not training.config.batch_size,
    )
    say("finetune", f"steps: {recipe.describe(made.config, rows)}")
    say("finetune", f"plan: {made.describe(device_name())}")
    return made.config


def fitted(config: FinetuneConfig, base: str, data: Data) -> tuple[FinetuneConfig, int]:
    """Return the config fitted to base, data and device, and the rows of an epoch."""
    from components.shared.models import load_config

    count = distributed.world_size()
    return recipe.resolve(config, load_config(base), data.lengths, recipe.this_device(count), count)


def fetch_start(training: Training, folder: Path) -> Path | None:
    """Fetch the release to go on from, if there is one; its weights lie at the top."""
    if training.start is None:
        return None
    prefix = training.start.prefix
    with distributed.first_on_node() as first:
        if first and not training.store.get_folder(prefix, folder):
            problem = f"{prefix} is listed in the release log but incomplete in the store"
            raise StoreError(problem, "restore its files, or leave out finetune.continue_from")
    return folder


def find_start(config: FinetuneConfig, store: Store, base: Base) -> Release | None:
    """Return the release to go on from; raise ModelError when its adapter is for another base."""
    name = config.continue_from
    if not name:
        return None
    entry = current(store, name)
    if entry is None:
        say("finetune", f"there is no release {name!r} yet: training starts afresh")
        return None
    if entry.base != base.name:
        problem = f"release {name!r}: its adapter is for {entry.base}, not for {base.name}"
        raise ModelError(problem, "name that base, or leave out finetune.continue_from")
    return entry


def build_trainer(
    config: FinetuneConfig,
    base: str,
    data: Data,
    scratch: Path,
    start: Path | None = None,
    *,
    resumed: bool = False,
) -> "Trainer":
    """Return the trainer of a base (hub id or folder), ready to train."""
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed

    from components.finetune import packed
    from components.finetune.trainer import CheckpointClock, EarlyStop, ProgressCallback, Trainer
    from components.shared.models import attach_adapter, load_base, load_tokenizer

    set_seed(config.seed)
    packed.register()
    config, _ = fitted(config, base, data)
    count = distributed.world_size()
    with distributed.first_on_node():  # which fetches it
        model = load_base(base, config.quantisation, config.attention)
    model.config.use_cache = False
    if start:
        model = attach_adapter(model, start, "default", trainable=True)
        # A release names its base as others know it; peft looks there for a configuration.
        model.peft_config["default"].base_model_name_or_path = base
    arguments = recipe.arguments(
        config, scratch, recipe.this_device(count), processes=count, held_out=bool(data.held_out)
    )
    arguments.eval_on_start &= not resumed
    watched = Dataset.from_list([example.row() for example in data.held_out]) or None
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list([example.row() for example in data.train]),
        eval_dataset=watched,
        processing_class=load_tokenizer(base),
        peft_config=None if start else recipe.lora(config, model),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.progress = ProgressCallback()
    trainer.clock = CheckpointClock(config.checkpoint_minutes)
    trainer.add_callback(trainer.progress)
    trainer.add_callback(trainer.clock)
    if data.held_out and config.patience:
        trainer.add_callback(EarlyStop(config.patience))
    return trainer


def train(
    trainer: "Trainer", config: FinetuneConfig, checkpoints: "Checkpoints", resume: Path | None
) -> int:
    """Train to the end and return the signal that came in the last step, if one did.

    Raises SystemExit(128 + signal) when asked to stop before, after a last checkpoint.
    """
    trainer.checkpoints = checkpoints
    if resume:
        trainer.saved_step = int(resume.name.rsplit("-", 1)[1])
        say("finetune", f"going on from the checkpoint of step {trainer.saved_step}")
    if again := rows_repeated(len(trainer.train_dataset), config.batch_size):
        count = distributed.world_size()
        say("finetune", f"padding each epoch with {again} repeated rows for {count} processes")
    try:
        with trainer.clock:
            trainer.train(resume_from_checkpoint=resume and str(resume))
        if trainer.clock.stopped:
            raise SystemExit(128 + trainer.clock.signal)
    except SystemExit:
        step = trainer.saved_step
        where = f"goes on from the checkpoint of step {step}" if step else "starts at step 1"
        say("finetune", f"stopped at step {trainer.state.global_step}: the same command {where}")
        raise
    return int(trainer.clock.signal)


def rows_repeated(rows: int, batch_size: int) -> int:
    """Return the rows that accelerate gives out twice to fill a batch for every process."""
    count = distributed.world_size()
    if count == 1:
        return 0
    return -rows % (batch_size * count)


def save(
    training: Training, config: FinetuneConfig, data: Data, trainer: "Trainer", out: Path
) -> None:
    """Write weights, steps.jsonl and adapter.json into `out`."""
    from components.finetune.trainer import adapter_of

    weights = adapter_of(trainer.model)
    trainer.model.save_pretrained(str(out / "weights"), state_dict=weights, safe_serialization=True)
    copy_tokenizer(training.base.path, out / "weights")  # an adapter is of no use without it
    rows = [row for row in trainer.state.log_history if "loss" in row or "eval_loss" in row]
    lines = [json.dumps(row, sort_keys=True) + "\n" for row in rows]
    write_atomically(out / "steps.jsonl", "".join(lines))
    base_path = ""
    if training.config.base_model == TINY:
        base_path = "base"
    adapter = Adapter(
        base=training.base.name,
        base_path=base_path,
        base_identity=training.base.identity,
        base_licence=training.base.licence,
        base_cutoff=training.base.cutoff,
        trained=True,
        adapter_digest=file_digest(out / "weights" / "adapter_model.safetensors"),
        train_digest=training.train_digest,
        continued_from=training.continued,
        watched=sorted({example.paper for example in data.held_out}),
        too_long=[example.triple for example in data.too_long],
        extra={
            **{name: getattr(config, name) for name in SETTLED},
            "examples": len(data.train),
            "held_out": len(data.held_out),
            "processes": distributed.world_size(),
            "rows_repeated": rows_repeated(len(trainer.train_dataset), config.batch_size),
            **loss_figures(rows),
            **speed_figures(trainer, training.base.path, data),
        },
    )
    adapter.write(out)


SETTLED = (
    *("quantisation", "attention", "optimizer", "max_length"),
    *("epochs", "batch_size", "gradient_accumulation", "warmup_steps", "gradient_checkpointing"),
)


def loss_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return first and last losses; held-out ones are from before training and each epoch."""
    losses = [row["loss"] for row in rows if "loss" in row]
    held_out = [row["eval_loss"] for row in rows if "eval_loss" in row]
    figures = {"steps": max(row["step"] for row in rows), "held_out_loss": None}
    figures |= {"first_loss": losses[0], "final_loss": losses[-1]}
    figures["held_out_losses"] = [round(loss, 4) for loss in held_out]
    if held_out:
        figures["held_out_loss"] = held_out[-1]
    return figures


def speed_figures(trainer: "Trainer", base: str, data: Data) -> dict[str, Any]:
    """Return the figures of the steps since it was started last, of all processes together."""
    from components.finetune import speed
    from components.shared.models import load_config

    done: ProgressCallback = trainer.progress
    seconds = max(done.seconds, 1e-9)
    read = sum(data.lengths)
    taught = sum(example.taught for example in data.train)
    epochs = done.steps / max(trainer.state.max_steps, 1) * trainer.args.num_train_epochs
    trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    shape = estimate.shape_of(load_config(base))
    flops = shape.flops_per_token(trained, read / len(data.train)) * epochs * read
    return {
        "seconds": round(done.seconds, 2),
        "tokens_per_second": round(done.tokens / seconds, 1),
        "completion_tokens_per_second": round(epochs * taught / seconds, 1),
        "mfu": speed.mfu(flops / seconds),
        "peak_memory": speed.peak_memory(),  # of process 0
        "device": speed.device_name(),
    }
