"""How processes end: on SIGTERM by their `finally` blocks, and never later than their run."""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

RUN_PID = "ARXTUNE_RUN_PID"  # set by the local runner: stages end when that process does
STORE_USERS = "ARXTUNE_STORE_USERS"  # the file whose lock keeps the embedded store up
GRACE = 5.0  # seconds between asking and ending


def exit_cleanly_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit(143): browsers are closed, half-made files removed."""

    def handler(signum: int, frame: FrameType | None) -> None:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, handler)


def exit_with_children_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit(143) and pass it on first: the runner waits for its stage before
    it exits.

    Processes with a session of their own, such as the store's server, are left: they end last.
    """
    import psutil

    def handler(signum: int, frame: FrameType | None) -> None:
        for child in _children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.terminate()
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, handler)


def wait_for_children(seconds: float) -> None:
    """Wait for the children of this process's session: they may be saving what they have."""
    import psutil

    psutil.wait_procs(_children(), timeout=seconds)


def _children() -> "list[psutil.Process]":
    """Return the processes below this one that are of its session."""
    import psutil

    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(child.pid) == os.getsid(0):
                children.append(child)
    return children


def keep_store() -> None:
    """Hold the embedded store, where there is one, until this process has ended."""
    if path := os.environ.get(STORE_USERS):
        with contextlib.suppress(OSError):  # in a container the file is not there, nor is it needed
            handle = os.open(path, os.O_RDWR)  # closed with the process
            fcntl.flock(handle, fcntl.LOCK_SH)


def terminate(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """End a process, by SIGKILL where SIGTERM does not do it in time."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_with_run() -> None:
    """End this process with the run that started it: no orphan may go on asking a site."""
    pid = int(os.environ.get(RUN_PID, "0"))
    if pid:
        threading.Thread(target=_follow, args=(pid,), name="end-with-run", daemon=True).start()


def _follow(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "pidfd_open"):
            select.select([os.pidfd_open(pid)], [], [])
        else:
            while True:
                os.kill(pid, 0)
                time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def die_with_parent() -> None:
    """Make the kernel end this process with its parent (Linux only); a `preexec_fn` of servers."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)
