"""What happens beside the steps: progress lines, speed, checkpoints in time and on SIGTERM, early stopping."""

import signal
import threading
import time
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from components.finetune import processes
from components.finetune.speed import peak_memory
from components.shared.progress import Progress, say


class Visible(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Say how far the training is, and add seconds, tokens a second and memory to each logged step."""

    progress: Progress
    seconds = 0.0  # spent in steps of this process; evaluations and checkpoints are not counted
    tokens = 0  # read in them, padding included
    steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress = Progress("finetune", "steps", state.max_steps, done=state.global_step)
        self._seen = state.num_input_tokens_seen

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        logs = logs or {}
        if "eval_loss" in logs:
            say(
                "finetune",
                f"held-out loss {logs['eval_loss']:.3f} after {state.epoch or 0:.1f} epochs",
            )
        elif "loss" in logs:
            self.steps += 1  # counted here: reading the loss has waited for the device
            self.seconds += time.perf_counter() - self._began
            self.tokens += state.num_input_tokens_seen - self._seen
            self._seen = state.num_input_tokens_seen
            speed, memory = self.tokens / max(self.seconds, 1e-9), peak_memory() / 2**30
            state.log_history[-1] |= {
                "seconds": round(self.seconds, 3),
                "tokens_per_second": round(speed, 1),
                "peak_memory_gib": round(memory, 3),
            }
            self.progress.step(
                f"loss {float(logs['loss']):.3f}  learning rate {float(logs['learning_rate']):.2g}  "
                f"{speed:,.0f} tokens/s  {memory:.1f} GiB"
            )


class CheckpointClock(TrainerCallback):  # type: ignore[misc]
    """Ask for a checkpoint every some minutes, and for one last on SIGTERM, after the step that is under way.

    A checkpoint due at the last step of an epoch waits until the epoch's held-out loss is known: a resumed training
    then has the same history and the same random numbers as one that never stopped.
    """

    interrupted = False  # SIGTERM came: the training ends early, and the process has to as well

    def __init__(self, minutes: float) -> None:
        self.every = 60 * minutes
        self.saved = time.monotonic()
        self.stopped = False

    def __enter__(self) -> "CheckpointClock":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:  # no other thread may set handlers
            self._before = signal.signal(signal.SIGTERM, self._on_sigterm)
        return self

    def __exit__(self, *problem: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)

    def _on_sigterm(self, signum: int, frame: FrameType | None) -> None:
        if self.interrupted and processes.count() == 1:
            raise SystemExit(
                128 + signum
            )  # asked twice: at once; the launcher of several passes on what all get
        self.interrupted = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.epoch != int(state.epoch):
            self._decide(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.stopped:  # in the midst of the epoch, and saved there
            control.should_evaluate = control.should_save = False
        else:
            self._decide(state, control)

    def _decide(self, state: Any, control: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        interrupted, due = processes.anywhere(
            self.interrupted, time.monotonic() - self.saved >= self.every
        )
        if interrupted:
            say("finetune", f"asked to stop: writing the checkpoint of step {state.global_step}")
            control.should_training_stop = self.stopped = True
        if interrupted or due:
            control.should_save = True
            self.saved = time.monotonic()


class EarlyStop(TrainerCallback):  # type: ignore[misc]
    """Stop when the held-out loss has not improved for some epochs; its memory is the log, which checkpoints keep."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        losses = [row["eval_loss"] for row in state.log_history if "eval_loss" in row]
        since = len(losses) - 1 - losses.index(min(losses))
        if since >= self.patience:
            say("finetune", f"the held-out loss has not fallen for {since} epochs: stopping early")
            control.should_training_stop = True
