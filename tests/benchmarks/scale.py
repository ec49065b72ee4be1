"""What scrape to curate take of 10, 100 and 1,000 usable papers: `python -m tests.benchmarks.scale
[PAPERS ...]` prints a table for docs/scale.md.

Each stage is a process. Seconds count the pauses of arXiv's pace, on a clock on which they take no
time. Memory is the most that one process of the stage
held. The papers are the sample papers, each with words of its own.
"""

import argparse
import random
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from unittest.mock import patch

from components.curate.config import CurateConfig
from components.curate.core import curate
from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.scrape import clock
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


def cost(stage: Callable[..., object], *arguments: object) -> str:
    """Run a stage; return its time on the virtual clock and the most memory that it held."""
    virtual = VirtualClock()
    began = virtual.now()
    with patch.object(clock, "now", virtual.now), patch.object(clock, "sleep", virtual.sleep):
        stage(*arguments)
    seconds = virtual.now() - began
    held = max(getrusage(who).ru_maxrss for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return f"{seconds:,.0f} s, {held / 1024:,.0f} MiB"


def in_process(stage: Callable[..., object], *arguments: object) -> str:
    """Return the cost of a stage in a process of its own."""
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        return pool.submit(cost, stage, *arguments).result()


def row(papers: int, root: Path) -> list[str]:
    """Return the cells of a line of the table."""
    names = ["papers", "documents", "triples", "train", "test", "card", "card.md"]
    found, documents, triples, train, test, *cards = (root / name for name in names)
    for folder in (found, documents, triples, train, test):
        folder.mkdir()
    with StandIn(world(papers), robots=ROBOTS) as site:
        config = config_in(root, site.url, seconds_between_requests=3, max_papers=papers)
        costs = [in_process(scrape, config, found)]
        requests = len(site.requests)
    terms = {"store": config.store, "base_model": config.base_model}
    teach = GenerateConfig(teacher="embedded", train_anyway=True, **terms)
    costs += [
        in_process(extract, ExtractConfig(), found, documents),
        in_process(generate, teach, documents, triples),
        in_process(curate, CurateConfig(**terms), triples, train, test, *cards),
    ]
    rows = sum(len((side / "examples.jsonl").read_bytes().splitlines()) for side in (train, test))
    stored = sum(path.stat().st_size for path in Path(config.store).rglob("*") if path.is_file())
    return [f"{papers:,}", f"{requests:,}", *costs, f"{rows:,}", f"{stored / 2**20:,.1f}"]


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers", nargs="*", type=int, default=SIZES)
    print("| papers | requests | scrape | extract | generate | curate | examples | store, MiB |")
    print("|--:" * 8 + "|")
    for papers in parser.parse_args().papers:
        with tempfile.TemporaryDirectory() as folder:
            print("|", " | ".join(row(papers, Path(folder))), "|", flush=True)


if __name__ == "__main__":
    main()
