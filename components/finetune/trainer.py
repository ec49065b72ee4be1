"""trl's SFTTrainer with our checkpoints, and what happens beside its steps."""

import contextlib
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from torch import Tensor
from torch.nn import Module
from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from trl import SFTTrainer

from components.finetune import distributed
from components.finetune.checkpoints import Checkpoints, keep_trying
from components.finetune.speed import peak_memory
from components.shared.errors import ModelError, StoreError, unwritable
from components.shared.progress import Progress, say

Weights = dict[str, Tensor]
Handler = Callable[[int, FrameType | None], Any] | int | None  # of a signal
LAST_SAVE_S = 15.0  # that a store may be away for the last checkpoint; Kubernetes gives 30
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # ask a training to stop
FINITE = {"loss": "loss", "grad_norm": "gradient norm", "eval_loss": "held-out loss"}


class Trainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped here
    """SFTTrainer whose checkpoints go to the store; one that fails costs a line, no training."""

    checkpoints: Checkpoints | None = None
    clock: "CheckpointClock"
    progress: "ProgressCallback"
    saved_step = 0  # of the newest checkpoint in the store

    def create_model_card(self, *arguments: object, **options: object) -> None:
        """Write none: the release has a card of its own."""

    def _save(self, output_dir: str | None = None, state_dict: Weights | None = None) -> None:
        super()._save(output_dir, state_dict=state_dict or adapter_of(self.model))

    def _save_checkpoint(self, model: Module, trial: object) -> None:
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        try:
            with self._gathered_rng(folder):
                super()._save_checkpoint(model, trial)
            if self.checkpoints is not None and distributed.rank() == 0:
                self._store(self.checkpoints, step, folder)
        except Exception as error:
            problem = error if isinstance(error, StoreError) else unwritable(error)
            if problem is None:
                raise
            say("finetune", f"no checkpoint at step {step}: {problem.problem}; training goes on")
        distributed.barrier()
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _gathered_rng(self, folder: Path) -> Iterator[None]:
        """Give process 0 the random states of all nodes; a process that failed takes part."""
        own = folder / f"rng_state_{distributed.rank()}.pth"
        try:
            yield
        finally:
            state = own.read_bytes() if own.exists() else b""
            states = distributed.all_gather((own.name, state))
        if distributed.rank() == 0:
            for name, content in filter(all, states):
                (folder / name).write_bytes(content)

    def _store(self, checkpoints: Checkpoints, step: int, folder: Path) -> None:
        what, patience = f"checkpoint of step {step}", LAST_SAVE_S if self.clock.stopped else 0.0
        keep_trying(what, lambda: checkpoints.save(step, folder), seconds=patience)
        self.saved_step = step


def adapter_of(model: Module) -> Weights:
    """Return the trained weights; raise ModelError when they hold anything but numbers."""
    weights = {name: one.data for name, one in model.named_parameters() if one.requires_grad}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise not_a_number(f"a weight of the adapter ({name})")
    return weights


def not_a_number(what: str) -> ModelError:
    """Return the one line for a training that has diverged, or that began with such values."""
    fix = "lower finetune.learning_rate, or look for such values in the base; nothing of it is kept"
    return ModelError(f"training stopped: {what} is not a finite number", fix)


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Say how far the training is, measure each step, stop at a loss that is no number."""

    progress: Progress
    seconds = 0.0  # spent in steps of this process; evaluations and checkpoints are not counted
    tokens = 0  # read in them, padding included
    steps = 0

    def on_train_begin(self, args: object, state: State, control: Control, **given: object) -> None:
        self.progress = Progress("finetune", "steps", state.max_steps, done=state.global_step)
        self._seen = state.num_input_tokens_seen

    def on_step_begin(self, args: object, state: State, control: Control, **given: object) -> None:
        self._began = time.perf_counter()

    def on_log(self, args: object, state: State, control: Control, **given: Any) -> None:
        logs = given["logs"]
        for name, what in FINITE.items():
            if not math.isfinite(float(logs.get(name, 0))):
                raise not_a_number(f"the {what} at step {state.global_step}")
        if "eval_loss" in logs:
            epochs = f"{state.epoch or 0:.1f} epochs"
            say("finetune", f"held-out loss {logs['eval_loss']:.3f} after {epochs}")
        elif "loss" in logs:
            self._measure(state, logs)

    def _measure(self, state: State, logs: dict[str, float]) -> None:
        # Counted here: reading the loss has waited for the device.
        self.steps += 1
        self.seconds += time.perf_counter() - self._began
        self.tokens += state.num_input_tokens_seen - self._seen
        self._seen = state.num_input_tokens_seen
        speed, memory = self.tokens / max(self.seconds, 1e-9), peak_memory() / 2**30
        state.log_history[-1] |= {
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(speed, 1),
            "peak_memory_gib": round(memory, 3),
        }
        rate = f"learning rate {float(logs['learning_rate']):.2g}"
        figures = f"{rate}  {speed:,.0f} tokens/s  {memory:.1f} GiB"
        self.progress.step(f"loss {float(logs['loss']):.3f}  {figures}")


class CheckpointClock(TrainerCallback):  # type: ignore[misc]
    """Ask for a checkpoint every some minutes, and for a last one when asked to stop.

    A checkpoint due at the last step of an epoch waits until the epoch's held-out loss is known: a
    resumed training then has the same history and random numbers as one that never stopped.
    """

    # That asked this process to stop: the training ends early, and the process has to as well.
    signal = 0
    stopped = False  # the training is over before its last step
    stepped = False  # a step was begun: before that there is nothing to save

    def __init__(self, minutes: float) -> None:
        self.every = 60 * minutes
        self.saved = time.monotonic()
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "CheckpointClock":
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Before the first step there is nothing to save. Later only a second Ctrl-C ends at once:
        # at the first one the terminal asks this process, and so does the runner that it asked too.
        again = number == self.signal == signal.SIGINT
        self.signal = self.signal or number  # kept: Python drops what is raised within a __del__
        if distributed.world_size() == 1 and (again or not self.stepped):
            raise SystemExit(128 + number)

    def on_step_begin(self, args: object, state: State, control: Control, **given: object) -> None:
        self.stepped = True

    def on_step_end(self, args: object, state: State, control: Control, **given: object) -> None:
        if state.epoch != int(state.epoch):
            self._decide(state, control)

    def on_epoch_end(self, args: object, state: State, control: Control, **given: object) -> None:
        if self.stopped:  # in the midst of the epoch, and saved there
            control.should_evaluate = control.should_save = False
        else:
            self._decide(state, control)

    def _decide(self, state: State, control: Control) -> None:
        if state.global_step >= state.max_steps:
            return
        due = time.monotonic() - self.saved >= self.every
        votes = distributed.all_gather((self.signal, due))
        self.signal = max(number for number, _ in votes)
        if self.signal:
            say("finetune", f"asked to stop: saving a checkpoint of step {state.global_step}")
            control.should_training_stop = self.stopped = True
        if self.signal or any(due for _, due in votes):
            control.should_save = True
            self.saved = time.monotonic()


class EarlyStop(TrainerCallback):  # type: ignore[misc]
    """Stop when the held-out loss has not improved for some epochs, by the log of checkpoints."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(self, args: object, state: State, control: Control, **given: object) -> None:
        losses = [row["eval_loss"] for row in state.log_history if "eval_loss" in row]
        since = len(losses) - 1 - losses.index(min(losses))
        if since >= self.patience:
            say("finetune", f"the held-out loss has not fallen for {since} epochs: stopping early")
            control.should_training_stop = True
