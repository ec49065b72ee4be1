"""What scrape to curate take of 10, 100 and 1,000 usable papers: `python -m tests.benchmarks.scale
[PAPERS ...]` prints a table for docs/scale.md.

Each stage is a process. Seconds of scrape are those that arXiv's pace asks for, on a clock that
pauses take no time on; all others are real ones. Memory is the most that one process of the stage
held. The papers are the sample papers, each with words of its own.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.core import scrape
from components.scrape.standin.corpus import SAMPLES, Corpus, Entry, parse_sections
from components.scrape.standin.live import OPEN_SHARE, PAPERS_A_DAY, ROBOTS, live_corpus
from components.scrape.standin.pdf import render
from components.scrape.standin.server import StandIn
from tests.components.scrape.conftest import VirtualClock, config_in

SIZES = (10, 100, 1_000)
WORD = re.compile(r"\b[a-z]{5,}\b")
TEXTS = [path.read_text("utf-8").partition("\n\n")[2] for path in sorted(SAMPLES.glob("*.txt"))]
VOCABULARY = sorted(set(WORD.findall(" ".join(TEXTS))))


@dataclass
class Cost:
    """What a stage took."""

    seconds: float
    mebibytes: float


def own_pdf(entry: Entry) -> bytes:
    """Return the PDF of a paper that shares no sentence with another."""
    draw = random.Random(entry.arxiv_id)
    words = dict(zip(VOCABULARY, draw.sample(VOCABULARY, len(VOCABULARY)), strict=True))
    text = WORD.sub(lambda match: words[match[0]], draw.choice(TEXTS))
    return render(entry.title, entry.authors, list(parse_sections(text)))


def world(papers: int) -> Corpus:
    """Return a month or more of arXiv, with so many usable papers or some more."""
    days = round(1.3 * papers / OPEN_SHARE / PAPERS_A_DAY) + 2
    entries = live_corpus(days).entries
    return Corpus(tuple(replace(entry, pdf=partial(own_pdf, entry)) for entry in entries))


def measured(work: Callable[[], object]) -> Cost:
    """Run a stage in a child process."""
    began = time.perf_counter()
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"a stage ended with status {status}")
    return Cost(time.perf_counter() - began, usage.ru_maxrss / 1024)


def paced(config: ScrapeConfig, papers: Path, told: Path) -> None:
    """Scrape on a virtual clock and write down how far it went."""
    virtual = VirtualClock()
    began = virtual.now()
    with patch.object(clock, "now", virtual.now), patch.object(clock, "sleep", virtual.sleep):
        scrape(config, papers)
    told.write_text(str(virtual.now() - began))


def size_of(folder: Path) -> float:
    """Return the MiB of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def row(papers: int, root: Path) -> list[str]:
    """Return the cells of a line of the table."""
    made = {name: root / name for name in ("papers", "documents", "triples", "train", "test")}
    for folder in made.values():
        folder.mkdir(parents=True)
    since = str(live_corpus(1).entries[0].submitted.date().replace(year=2024))
    with StandIn(world(papers), robots=ROBOTS) as site:
        knobs = {"seconds_between_requests": 3, "max_papers": papers, "published_after": since}
        config = config_in(root, site.url, **knobs)
        first = measured(partial(paced, config, made["papers"], root / "seconds"))
        requests = len(site.requests)
    first.seconds = float((root / "seconds").read_text())
    terms = {"store": str(root / "store"), "base_model": "tiny"}
    teach = GenerateConfig(teacher="embedded", train_anyway=True, **terms)
    shown = {name: root / name for name in ("card", "card_markdown")}
    costs = [
        first,
        measured(partial(extract, ExtractConfig(), made["papers"], made["documents"])),
        measured(partial(generate, teach, made["documents"], made["triples"])),
        measured(
            partial(
                curate, CurateConfig(**terms), made["triples"], made["train"], made["test"], **shown
            )
        ),
    ]
    cells = [f"{cost.seconds:,.0f} s, {cost.mebibytes:,.0f} MiB" for cost in costs]
    rows = sum(1 for name in ("train", "test") for _ in (made[name] / "examples.jsonl").open())
    return [f"{papers:,}", f"{requests:,}", *cells, f"{rows:,}", f"{size_of(root / 'store'):,.1f}"]


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers", nargs="*", type=int, default=SIZES)
    heads = (
        "papers",
        "requests",
        "scrape",
        "extract",
        "generate",
        "curate",
        "examples",
        "store, MiB",
    )
    print("|", " | ".join(heads), "|\n" + "|--:" * len(heads) + "|")
    for papers in parser.parse_args().papers:
        with tempfile.TemporaryDirectory() as folder:
            print("|", " | ".join(row(papers, Path(folder))), "|", flush=True)


if __name__ == "__main__":
    sys.exit(main())
