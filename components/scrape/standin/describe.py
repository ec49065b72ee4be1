"""Read title and opening of local PDFs in a child process: a hostile file costs its deadline, never the server.

The child prints one JSON line a file; where a line does not come in time the child is ended and a new one goes
on with the next file.
"""

import contextlib
import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

DEADLINE_S = 10.0  # for one file
MEMORY = 2 * 2**30  # bytes of address space for the child
ABSTRACT = 1500  # characters of the first page that pass for its abstract
STAMP = re.compile(
    r"arXiv:\S+"
)  # in the margin of arXiv's own PDFs, often the first line of the text

Described = tuple[str, str]  # title and abstract, "" where unreadable


def describe(files: Sequence[Path]) -> Iterator[Described]:
    """Yield title and abstract of each file, in order."""
    left = [str(path) for path in files]
    while left:
        done = 0
        for line in _lines(left):
            yield line
            done += 1
        left = left[done:]
        if left:  # the child hung or died on this one
            yield "", ""
            left = left[1:]


def _lines(paths: list[str]) -> Iterator[Described]:
    command = [sys.executable, "-P", __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdin
        assert child.stdout
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(json.dumps(paths).encode())
                child.stdin.close()
            buffer, deadline = b"", time.monotonic() + DEADLINE_S
            while select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                piece = child.stdout.read1(65_536)  # type: ignore[attr-defined]  # the pipe is a BufferedReader
                if not piece:
                    return
                *whole, buffer = (buffer + piece).split(b"\n")
                for line in whole:
                    title, abstract = json.loads(line)
                    yield title, abstract
                    deadline = time.monotonic() + DEADLINE_S
        finally:
            child.kill()


def _read(path: str) -> Described:
    """Return title and abstract of one PDF, "" for what it does not tell."""
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        told = reader.metadata.title if reader.metadata else ""
        text = reader.pages[0].extract_text()
    except Exception:  # whatever a broken file makes of the parser, the file is served all the same
        return "", ""
    lines = [line for line in map(_clean, text.splitlines()) if line and not STAMP.match(line)]
    named = _clean(str(told or ""))
    title = named if named and not STAMP.match(named) else (lines[0] if lines else "")
    whole = _clean(text)
    opening = re.search(r"\babstract\b[\s.:-]*", whole, re.IGNORECASE)
    return title[:300], whole[opening.end() if opening else 0 :][:ABSTRACT]


def _clean(text: str) -> str:
    """Return text on one line, without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _child() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # no such limit on this system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for path in json.load(sys.stdin):
        print(json.dumps(_read(path)), flush=True)


if __name__ == "__main__":
    _child()
