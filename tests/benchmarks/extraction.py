"""Pages a second: plain pypdf, one file after the other, against the extract stage with two child
processes.

The papers are those of the folder `../shared/papers` where it is, else the shipped samples.
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.scrape.standin.corpus import sample_corpus
from components.shared.records import Document, read_records, write_records
from tests.benchmarks.ratio import Ratio
from tests.builders import paper

PAPERS = Path(__file__).parents[3] / "shared" / "papers"
ROUNDS = 3  # the fastest of each counts: what else the machine does is no part of it


def measure() -> Iterator[Ratio]:
    """Read the same papers both ways, in turns."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = sample_papers(folder)
        records = []
        for path in paths:
            copy = folder / f"{path.stem}-copy.pdf"
            copy.write_bytes(path.read_bytes())
            records.append(paper(arxiv_id=path.stem, pdf=copy.name, bytes=path.stat().st_size))
        write_records(folder / "papers.jsonl", records)
        seed, ours, pages = [], [], 0
        for _ in range(ROUNDS):
            started = time.perf_counter()
            pages = _seed(paths)
            seed.append(time.perf_counter() - started)
            started = time.perf_counter()
            extract(ExtractConfig(processes=2), folder, folder / "documents")
            ours.append(time.perf_counter() - started)
        documents = read_records(folder / "documents" / "documents.jsonl", Document)
        assert sum(len(document.pages) for document in documents) == pages
        which = f"{len(paths)} papers, 2 processes"
        yield Ratio(f"extraction, pages/s ({which})", pages / min(seed), pages / min(ours))


def sample_papers(folder: Path) -> list[Path]:
    """Return the PDFs of the papers' folder, or the shipped samples, which are written to
    `folder`."""
    if paths := sorted(PAPERS.glob("*.pdf")):
        return paths
    for entry in sample_corpus().entries:
        paths.append(folder / f"{entry.arxiv_id}.pdf")
        paths[-1].write_bytes(entry.pdf())
    return paths


def _seed(paths: list[Path]) -> int:
    from pypdf import PdfReader

    return sum(len([page.extract_text() for page in PdfReader(path).pages]) for path in paths)
