"""Seconds that the check before a run with embedded defaults takes, against the 3 that it may."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.check import Asked, faults
from pipelines.profile import make_profile
from tests.benchmarks.ratio import Ratio

ALLOWED_S = 3.0


def measure() -> Iterator[Ratio]:
    """Check once; nothing may be wrong."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked(make_profile(None, {}, [], checked=False), Path(folder), None, None)
        started = time.perf_counter()
        assert not faults(asked)
        seconds = time.perf_counter() - started
    yield Ratio("check before a run, s", ALLOWED_S, seconds, less_is_better=True)
