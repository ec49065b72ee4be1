"""A small invented corpus, and configs that ask a stand-in as fast as it answers."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

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
        "submitted": submitted,
    }
    return Entry(arxiv_id=arxiv_id, **(values | fields))


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., ScrapeConfig]:
    """Return a maker of configs for a site, with an empty store and no pauses."""

    def make(site: str, **knobs: Any) -> ScrapeConfig:
        values: dict[str, Any] = {
            "store": str(tmp_path / "store"),
            "state": str(tmp_path / "state"),
            "seconds_between_requests": 0,
            "timeout_s": 60,
            "site": site,
        }
        return ScrapeConfig(**(values | knobs))

    return make
