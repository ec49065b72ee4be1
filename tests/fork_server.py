"""A fork server for tests that start many processes with much loaded.

A process has one fork server, which the stages use too: what a test loads there must be gone with
the test.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.forkserver import _forkserver


@contextmanager
def preloading(*modules: str) -> Iterator[None]:
    """Start the fork server anew with these modules; afterwards the next one loads what it was to
    load before."""
    before = _forkserver._preload_modules  # type: ignore[attr-defined]
    _forkserver._stop()  # type: ignore[attr-defined]
    _forkserver.set_forkserver_preload([*modules])
    try:
        yield
    finally:
        _forkserver._stop()  # type: ignore[attr-defined]
        _forkserver.set_forkserver_preload(before)
