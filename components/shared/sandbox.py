"""Open what strangers made in a child process with a deadline and a memory limit.

A file that loops, explodes or crashes its parser ends the child, never the stage that asked.
"""

import math
import multiprocessing
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from components.shared.errors import DataError

T = TypeVar("T")

# A fork server: children start in milliseconds with the parser loaded, and share no thread or lock
# with the stage.
_PROCESSES = multiprocessing.get_context("forkserver")
_PARSERS = ["components.shared.sandbox", "numpy", "pypdfium2"]
_starting = threading.Lock()


class SandboxError(DataError):
    """The child gave nothing: it was late, ran out of memory or crashed. `problem` groups."""


def run_in_child(
    function: Callable[..., T], *arguments: Any, deadline_s: float, memory_mib: int
) -> T:
    """Return what a function of a module returns, called in a child; what it raises is raised here.

    `memory_mib` limits the address space that the call may add. Raises SandboxError when the child
    gives nothing.
    """
    _PROCESSES.set_forkserver_preload([*_PARSERS, function.__module__])  # before the first child
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(
        target=_answer, args=(theirs, function, arguments, deadline_s, memory_mib), daemon=True
    )
    _start(child)
    theirs.close()
    late = SandboxError(f"not read within {deadline_s:g} s")
    try:
        if not ours.poll(deadline_s):
            raise late
        worked, answer = ours.recv()
    except EOFError:
        child.join()
        if child.exitcode in (-signal.SIGALRM, -signal.SIGXCPU):
            raise late from None
        raise SandboxError(f"reader crashed (status {child.exitcode})") from None
    finally:
        child.kill()
        child.join()
        ours.close()
    if not worked:
        raise answer
    return answer  # type: ignore[no-any-return]


def _start(child: BaseProcess) -> None:
    """Start a child without this program's main module, which it would import and does not need."""
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            child.start()
        finally:
            sys.modules["__main__"] = main


def _answer(
    answers: Connection,
    function: Callable[..., object],
    arguments: tuple[Any, ...],
    deadline_s: float,
    memory_mib: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    # and where the parent is gone by then, the kernel does.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, deadline_s + 0.5)
    seconds = math.ceil(deadline_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    limit = _mapped() + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        answer = True, function(*arguments)
    except MemoryError:
        answer = False, SandboxError(f"reader ran out of memory ({memory_mib} MiB)")
    except Exception as error:
        error.add_note(traceback.format_exc())  # a traceback does not travel
        answer = False, error
    answers.send(answer)


def _mapped() -> int:
    """Return the bytes of address space in use: loaded libraries map more on many cores."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:  # no such file on this system
        return 0
    return pages * resource.getpagesize()
