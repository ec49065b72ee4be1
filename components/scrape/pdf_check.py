"""See that a file is a whole PDF: by its marks, and by opening it in a child process with a deadline.

The child opens one file after the other, so that a check costs milliseconds; one that hangs or dies on a hostile
file is replaced. It runs this file as a script, with nothing of the stage in it.
"""

import io
import json
import select
import subprocess
import sys
from pathlib import Path

HEAD, TAIL = 1024, 2048  # bytes where a PDF must show its first and its last mark
DEADLINE_S = 60.0  # for opening one file, the child's start included
MEMORY = 1 << 30  # bytes of address space for the child


class PdfChecker:
    """Checks PDFs until it is closed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def fault_of(self, path: Path) -> tuple[str, str] | None:
        """Return reason and detail of what is wrong with a PDF, or None: a site may call anything one."""
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            if size == 0:
                return "empty file", ""
            file.seek(0)
            if b"%PDF-" not in file.read(HEAD):
                return "not a PDF", "no %PDF- at its beginning"
            file.seek(max(0, size - TAIL))
            if b"%%EOF" not in file.read(TAIL):
                return "truncated PDF", "no %%EOF at its end"
        told = self._open(path)
        return ("unreadable PDF", told) if told else None

    def close(self) -> None:
        """End the child."""
        if self._child:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _open(self, path: Path) -> str:
        """Return why a PDF cannot be opened, or ""."""
        if self._child is None:
            command = [sys.executable, "-P", __file__]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        asked, told = self._child.stdin, self._child.stdout
        assert asked
        assert told
        asked.write(json.dumps(str(path.resolve())).encode() + b"\n")
        asked.flush()
        in_time = select.select([told], [], [], DEADLINE_S)[0]
        answer = told.readline() if in_time else b""
        if answer:
            return str(json.loads(answer))
        self.close()
        return (
            "opening it crashed or ran out of memory"
            if in_time
            else f"not opened within {DEADLINE_S:g} s"
        )


def _problem(path: str) -> str:
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return "encrypted"
        return "" if len(reader.pages) else "no pages"
    except (
        Exception
    ) as error:  # pypdf lets errors of many kinds escape on broken files; all mean the same here
        return f"{type(error).__name__}: {error}"[:200]


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin.buffer:
        print(json.dumps(_problem(json.loads(line))), flush=True)
