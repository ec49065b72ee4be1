"""Whatever is opened in a child, the stage gets an answer or one line in time."""

import os
import signal
import time

import pytest

from components.shared.errors import DataError
from components.shared.sandbox import SandboxError, run_in_child


def double(number: int) -> int:
    return 2 * number


def loop() -> None:
    while True:
        pass


def sleep_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def explode() -> int:
    return len(bytearray(2**31))


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(0)


def refuse() -> None:
    raise DataError("no text", "name another file")


def fail() -> None:
    raise ZeroDivisionError


def run(function: object, *arguments: object, deadline_s: float = 30.0) -> object:
    return run_in_child(function, *arguments, deadline_s=deadline_s, memory_mib=500)  # type: ignore[arg-type]


def test_a_child_answers() -> None:
    assert run(double, 21) == 42


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (loop, "not read within 0.5 s"),
        (sleep_deaf, "not read within 0.5 s"),
        (explode, r"reader ran out of memory \(500 MiB\)"),
        (crash, "reader crashed"),
        (leave, "reader crashed"),
    ],
)
def test_a_child_that_gives_nothing_is_one_line(function: object, line: str) -> None:
    with pytest.raises(SandboxError, match=line):
        run(function, deadline_s=0.5 if "within" in line else 30.0)


def test_an_error_of_ours_comes_through_and_a_bug_shows_where_it_is() -> None:
    with pytest.raises(DataError, match="no text; name another file"):
        run(refuse)
    with pytest.raises(ZeroDivisionError) as error:
        run(fail)
    assert "in fail" in error.value.__notes__[0]
