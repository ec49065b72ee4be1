"""What a person sees of a local run: progress and the one line of an error; everything else goes to
the run's log."""

import io
import re
from pathlib import Path
from typing import TextIO

from components.shared.progress import MARK
from components.shared.stage import ERROR_MARK, STATUS_MARK

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
TAIL = 40  # log lines shown of a stage that failed by a bug


class Console(io.TextIOBase):
    """A text stream that stands in for stdout while kfp runs the pipeline."""

    def __init__(self, terminal: TextIO, log: Path) -> None:
        self._terminal = terminal
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._rest = ""
        self.error = ""  # the line of the last error of ours
        self.status = 1  # that its stage ended with
        self.tail: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._rest += text
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            self._line(_ANSI.sub("", line).rstrip())
        return len(text)

    def _line(self, line: str) -> None:
        self._log.write(line + "\n")
        said = line.lstrip()
        if said.startswith(MARK):
            self._terminal.write(said.removeprefix(MARK) + "\n")
            self._terminal.flush()
        elif said.startswith(STATUS_MARK):
            self.status = int(said.removeprefix(STATUS_MARK))
        elif said.startswith(ERROR_MARK):
            self.error = said.removeprefix(ERROR_MARK)
        if said:
            self.tail = [*self.tail[1 - TAIL :], line]

    def close(self) -> None:
        self._log.close()
        super().close()
