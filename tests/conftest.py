"""What all tests stand on: Ctrl-C is heard, also where whoever runs them ignores it for them, and
no test leaves its way of ending to the next."""

import shutil
import signal
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell, nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Give each test the handlers of a process that has just begun: commands install theirs."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def kubectl() -> None:
    """Skip what needs kubectl where there is none; the summary names what was skipped."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl 1.27 or newer, which is not installed here")
