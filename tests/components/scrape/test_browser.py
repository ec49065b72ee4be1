"""The browser reads much and takes little."""

import subprocess
import sys
from pathlib import Path

import psutil

from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import StandIn
from tests.components.scrape.conftest import make_entry

LIST = """
import sys, time
from components.scrape.catalogue import Catalogue
from components.scrape.config import ScrapeConfig
from components.scrape.core import open_source
from components.scrape.site import Site
url, folder = sys.argv[1:]
config = ScrapeConfig(site=url, store=folder, state=folder, seconds_between_requests=0, max_papers=2000, timeout_s=120)
with Site(config) as site, open_source(config, site, "search") as source:
    catalogue = Catalogue("unsaved")
    catalogue.update(config, source, 2000)
    print(len(catalogue.listings), flush=True)
    sys.stdin.read()
"""
GIBIBYTE = 2**30


def memory(process: psutil.Process) -> int:
    """Return the proportional memory of a process and its descendants, in bytes."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
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
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as stage:
            assert stage.stdout
            lines = []
            for line in stage.stdout:  # one a page
                lines.append(line)
                peak = max(peak, memory(psutil.Process(stage.pid)))
                if line.strip() == "1200":
                    break
            stage.communicate()
        assert len(site.asked("/search")) == 6
    assert 100 * 2**20 < peak < GIBIBYTE
