"""Progress lines that read well in a terminal, a pod log and a file: stage, what, how far, how
long."""

import os
import sys
import time
from pathlib import Path

MARK = "| "  # opens every line meant for a person, so that a runner can tell it from library noise


def say(stage: str, message: str) -> None:
    """Print one line for a person."""
    try:
        print(f"{MARK}{stage:<9} {message}", file=sys.stdout, flush=True)
    except BrokenPipeError:  # whoever listened has ended: what is being saved is saved all the same
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # as long as the process


class Progress:
    """Report steps of a known or unknown number; prints at most one line per `every` seconds, and
    the last one."""

    def __init__(
        self, stage: str, what: str, total: int = 0, every: float = 2.0, done: int = 0
    ) -> None:
        self.stage, self.what, self.total, self.every = stage, what, total, every
        self.done = self._before = (
            done  # work of an earlier process says nothing about the time that is left
        )
        self.started = time.monotonic()
        self._printed = self.started

    def step(self, note: str = "", count: int = 1) -> None:
        """Count `count` more steps done."""
        self.done += count
        now = time.monotonic()
        if self.done == self.total or now - self._printed >= self.every:
            self._printed = now
            say(self.stage, self._line(now - self.started, note))

    def _line(self, seconds: float, note: str) -> str:
        parts = [
            f"{self.done}/{self.total} {self.what}" if self.total else f"{self.done} {self.what}"
        ]
        if self.total:
            parts.append(f"{100 * self.done // self.total:3d}%")
        parts.append(f"{seconds:.1f} s")
        if self._before < self.done < self.total:
            parts.append(
                f"{seconds / (self.done - self._before) * (self.total - self.done):.0f} s left"
            )
        return "  ".join([*parts, note] if note else parts)
