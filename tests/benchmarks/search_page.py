"""Rows read out of a search page a second: one WebDriver call per element, against one script call
for the page."""

import tempfile
import time
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from components.scrape.browser import navigate, open_browser
from components.scrape.config import ScrapeConfig
from components.scrape.search import SCRIPT, parse_page, search_url
from components.scrape.source import Window
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from tests.benchmarks.ratio import Ratio
from tests.components.scrape.conftest import make_entry

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROWS = 200
FIELDS = ("p.list-title > a", "p.title.is-5", "p.authors", "span.abstract-full", "p.is-size-7")


def measure() -> Iterator[Ratio]:
    """Read a page of 200 rows both ways in the same browser."""
    corpus = Corpus(tuple(make_entry(f"2406.{number:05d}") for number in range(ROWS)))
    with StandIn(corpus) as site, tempfile.TemporaryDirectory() as folder:
        config = ScrapeConfig(
            site=site.url, store=folder, state=folder, seconds_between_requests=0, timeout_s=120
        )
        url = search_url(config, Window(date(2024, 1, 1), date(2025, 1, 1)), 0)
        with open_browser(config) as browser:
            navigate(browser, url)
            seconds = []
            for _ in range(5):
                started = time.perf_counter()
                page = parse_page(browser.execute_script(SCRIPT), 0)
                seconds.append(time.perf_counter() - started)
            assert len(page.listings) == ROWS
            started = time.perf_counter()
            assert _seed(browser) == ROWS
            seed = ROWS / (time.perf_counter() - started)
    yield Ratio("search page, rows/s", seed, ROWS / sorted(seconds)[len(seconds) // 2])


def _seed(browser: "Chrome") -> int:
    rows = browser.find_elements("css selector", "li.arxiv-result")
    return len([[row.find_element("css selector", name).text for name in FIELDS] for row in rows])
