"""A small invented corpus, and configs that ask a stand-in as fast as it answers."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.standin.corpus import Entry
from components.scrape.standin.pdf import render

PDF = render("A paper", ["Somebody"], [("1 Text", ["One sentence of it."] * 40)])


def make_entry(arxiv_id: str, **fields: Any) -> Entry:
    """Return a paper about language models; `submitted` may be text."""
    fields = {"submitted": f"20{arxiv_id[:2]}-{arxiv_id[2:4]}-20T12:00:00Z", **fields}
    submitted = datetime.fromisoformat(fields.pop("submitted"))
    values: dict[str, Any] = {
        "title": f"On language models, part {arxiv_id}",
        "authors": ("Invented Author Group 01",),
        "abstract": "It is about things.",
        "revised": submitted,
        "pdf": lambda: PDF,
        "licence": "http://creativecommons.org/licenses/by/4.0/",
        "submitted": submitted,
    }
    return Entry(arxiv_id=arxiv_id, **(values | fields))


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., ScrapeConfig]:
    """Return a maker of configs for a site, with an empty store and no pauses."""

    return partial(config_in, tmp_path)


def config_in(folder: Path, site: str, **knobs: Any) -> ScrapeConfig:
    """Return a config for a site that keeps everything in a folder."""
    values: dict[str, Any] = {
        "store": str(folder / "store"),
        "state": str(folder / "state"),
        "seconds_between_requests": 0,
        "timeout_s": 60,
        "teacher": "embedded",
        "base_model": "tiny",
        "site": site,
    }
    return ScrapeConfig(**(values | knobs))


class VirtualClock:
    """A clock that pauses take no time on."""

    def __init__(self) -> None:
        self._ahead, self._lock = 0.0, threading.Lock()

    def now(self) -> float:
        return time.time() + self._ahead

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._ahead += max(0.0, seconds)


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """Put a virtual clock in the place of the real one, for stage and stand-in alike."""
    found = VirtualClock()
    monkeypatch.setattr(clock, "now", found.now)
    monkeypatch.setattr(clock, "sleep", found.sleep)
    return found
