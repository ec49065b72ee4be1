"""Requests and virtual minutes that the default question takes of a world like arXiv, against the
123 requests and 1,776 s that it took when half of what was fetched could not be used; then the
same of a smaller world for each source that is off, late, or ends in the middle."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from components.scrape import clock
from components.scrape.core import scrape
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.live import MOODS, ROBOTS, live_corpus
from components.scrape.standin.server import StandIn
from tests.benchmarks.ratio import Ratio
from tests.components.scrape.conftest import VirtualClock, config_in
from tests.components.scrape.test_world import OFF, light

Faults = dict[str, list[str]]
BEFORE = 123, 1_776  # requests, virtual seconds


def measure() -> Iterator[Ratio]:
    """Run the stage on a clock that pauses take no time on."""
    yield from _ratios("default run", BEFORE, _cost(light(live_corpus(14)), MOODS, 60))
    small = light(live_corpus(10, a_day=30, open_share=0.4))
    undisturbed = _cost(small, {}, 20)
    for faults in OFF:
        told = " ".join(f"{path} {' '.join(moods)}" for path, moods in faults.items())
        yield from _ratios(told, undisturbed, _cost(small, faults, 20))


def _cost(corpus: Corpus, faults: Faults, papers: int) -> tuple[int, float]:
    """Return the requests and the virtual seconds of a run."""
    virtual = VirtualClock()
    with (
        patch.object(clock, "now", virtual.now),
        patch.object(clock, "sleep", virtual.sleep),
        tempfile.TemporaryDirectory() as folder,
        StandIn(corpus, robots=ROBOTS, faults={k: list(v) for k, v in faults.items()}) as site,
    ):
        knobs = {"seconds_between_requests": 3, "patience_hours": 6, "max_papers": papers}
        began = virtual.now()
        scrape(config_in(Path(folder), site.url, **knobs), Path(folder) / "papers")
        return len(site.requests), virtual.now() - began


def _ratios(what: str, before: tuple[float, float], now: tuple[float, float]) -> Iterator[Ratio]:
    yield Ratio(f"{what}, requests", before[0], now[0], less_is_better=True)
    yield Ratio(f"{what}, s", before[1], now[1], less_is_better=True)
