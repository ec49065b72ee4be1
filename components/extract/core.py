"""Extract: papers -> documents."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from components.extract.config import ExtractConfig
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.names import safe_path
from components.shared.progress import Progress
from components.shared.records import Document, Paper, read_records, write_records
from components.shared.sandbox import run_in_child


def extract(config: ExtractConfig, papers: Path, documents: Path) -> dict[str, Any]:
    """Read the text of every paper's PDF, page by page.

    Papers that give none are rejects with their reason.
    """
    found = list(read_records(papers / "papers.jsonl", Paper))
    ledger = Ledger("extract", "papers")
    counts: Counter[str] = Counter({"pages left out": 0})
    kept: list[Document] = []
    for paper, answer in zip(found, _read_all(config, papers, found), strict=True):
        about = f"{paper.title} {paper.extra.get('comments', '')}".strip()
        if isinstance(answer, DataError):
            ledger.drop(paper.key, answer.problem, about)
            continue
        document, left_out = answer
        if document.quality < config.min_quality:
            detail = f"{document.quality:.2f} of words readable; {about}"
            ledger.drop(paper.key, "hardly any readable text", detail)
            continue
        counts["pages left out"] += left_out
        counts.update(_counted(document))
        kept.append(document)
        ledger.keep()
    write_records(documents / "documents.jsonl", kept)
    ledger.facts |= {"pages": sum(len(document.pages) for document in kept), **counts}
    return ledger.write(documents, papers)


def _counted(document: Document) -> Counter[str]:
    """Return what was repaired, marked and flagged in a document, for the ledger."""
    counts = Counter({f"repaired {kind}": count for kind, count in document.repairs.items()})
    for page in document.pages:
        counts.update(f"marked {mark['kind']}" for mark in page["marks"])
        counts.update(f"kept out: {flag['kind']}" for flag in page["flags"])
        counts["pages hardly readable"] += "reject" in page
    return counts


def _read_all(
    config: ExtractConfig, folder: Path, papers: list[Paper]
) -> list[tuple[Document, int] | DataError]:
    """Return what each PDF gives, in the order of `papers`; the largest are read first."""
    from components.extract.document import read_document

    limits: dict[str, Any] = {"deadline_s": config.deadline_s, "memory_mib": config.memory_mib}

    def read(paper: Paper) -> tuple[Document, int] | DataError:
        try:
            pdf = safe_path(folder, paper.pdf, "the PDF of a paper")
            return run_in_child(read_document, pdf, paper, config, **limits)
        except DataError as error:
            return error

    progress = Progress("extract", "papers", len(papers))
    with ThreadPoolExecutor(config.processes or os.cpu_count() or 1) as pool:
        largest_first = sorted(range(len(papers)), key=lambda place: -papers[place].bytes)
        reading = {pool.submit(read, papers[place]): place for place in largest_first}
        for done in as_completed(reading):
            progress.step(papers[reading[done]].key)
    return [done.result() for done in sorted(reading, key=reading.__getitem__)]
