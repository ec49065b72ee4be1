"""Pages a second: plain pypdf, one file after the other, against the extract stage with its child processes."""

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


def measure() -> Iterator[Ratio]:
    """Read all sample papers both ways."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = []
        for entry in sample_corpus().entries:
            path = folder / "papers" / f"{entry.arxiv_id}.pdf"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(entry.pdf())
            records.append(paper(arxiv_id=entry.arxiv_id, pdf=path.name))
        write_records(folder / "papers" / "papers.jsonl", records)

        started = time.perf_counter()
        pages = _seed(sorted((folder / "papers").glob("*.pdf")))
        seed = pages / (time.perf_counter() - started)

        started = time.perf_counter()
        extract(ExtractConfig(), folder / "papers", folder / "documents")
        seconds = time.perf_counter() - started
        documents = read_records(folder / "documents" / "documents.jsonl", Document)
        yield Ratio("extraction, pages/s", seed, sum(len(document.pages) for document in documents) / seconds)


def _seed(paths: list[Path]) -> int:
    from pypdf import PdfReader

    return sum(len([page.extract_text() for page in PdfReader(path).pages]) for path in paths)
