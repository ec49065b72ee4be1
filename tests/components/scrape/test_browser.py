"""The browser reads much and takes little."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from components.scrape.browser import Browser, find_tools, open_browser
from components.scrape.config import ScrapeConfig
from components.scrape.listing import SCRIPT
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from components.shared.errors import ToolError
from components.shared.loopback import LoopbackServer, QuickHandler
from tests.components.scrape.conftest import make_entry

LIST = """
import sys
from components.scrape.browser import Browser
from components.scrape.config import ScrapeConfig
from components.scrape.search import SearchSource
from components.scrape.site import Site
from components.scrape.source import Window
from datetime import date
url, folder = sys.argv[1:]
folders = {"store": folder, "state": folder}
config = ScrapeConfig(site=url, seconds_between_requests=0, max_papers=2000, **folders)
with Site(config) as site, Browser(config) as browser:
    site.read_robots()
    window = Window(date(2024, 4, 18), date(2024, 8, 1))
    for batch in SearchSource(config, site, browser).batches(window):
        print(len(batch.listings))
"""
GIBIBYTE = 2**30


def memory(process: psutil.Process) -> int:
    """Return the proportional memory of a process and its descendants, in bytes."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended, or of Chromium's sandbox
            continue
    return total


def test_stage_and_browser_read_six_pages_of_200_rows_in_less_than_a_gibibyte(
    tmp_path: Path,
) -> None:
    corpus = Corpus(
        tuple(
            make_entry(f"2406.{number:05d}", abstract="A sentence of it. " * 80)
            for number in range(1200)
        )
    )
    peak = 0
    with StandIn(corpus) as site:
        command = [sys.executable, "-c", LIST, site.url, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stage:
            while stage.poll() is None:
                peak = max(peak, memory(psutil.Process(stage.pid)))
            assert stage.stdout
            assert stage.stdout.read().split()[-1] == "1200"
        assert len(site.asked("/search")) == 6
    assert 100 * 2**20 < peak < GIBIBYTE


def test_chromium_asks_for_nothing_but_the_page(tmp_path: Path) -> None:
    """Manifests, icons and what a page preloads are requests too."""
    page = (
        "<html><head><title>x</title><link rel=manifest href=/site.webmanifest><link rel=icon "
        "href=/i.ico>"
        "<link rel=preload as=fetch href=/api/query><link rel=stylesheet href=/x.css></head>"
        "<body><img src=/a.png><script src=/x.js></script><iframe src=/search/f></iframe>"
        "<embed src=/search/e><object data=/search/o></object>"
        "<div class=paging>Total of 0 entries</div></body></html>"
    )

    class Page(QuickHandler):
        asked: ClassVar[list[str]] = []

        def do_GET(self) -> None:  # noqa: N802
            self.asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

    class Server(LoopbackServer):
        pass

    with Server(Page) as server:
        config = ScrapeConfig(site=server.url, state=str(tmp_path), seconds_between_requests=0)
        with Browser(config) as browser:
            for _ in range(2):
                browser.read(f"{server.url}/list/cs.CL/recent", SCRIPT)
    assert Page.asked == ["/list/cs.CL/recent"] * 2


def test_a_browser_that_does_not_start_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "chromium"
    broken.write_text(
        '#!/bin/sh\necho "[1:1:ERROR:zygote.cc:130] No usable sandbox!" >&2\nexit 1\n'
    )
    broken.chmod(0o755)
    _, chromedriver = find_tools()
    monkeypatch.setattr("components.scrape.browser.find_tools", lambda: (str(broken), chromedriver))
    with pytest.raises(ToolError) as found, open_browser(ScrapeConfig()):
        pass
    assert found.value.problem == "Chromium does not start: No usable sandbox!"
    assert "chromium-sandbox" in found.value.fix
