"""Extract: papers -> documents."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.extract.config import ExtractConfig
from components.extract.marks import marks, to_a_model, without_instructions
from components.extract.pdf import WHOLE, PageText, Part, PdfRejected, PdfText, joined, read_pdf
from components.extract.quality import readable_share
from components.extract.repair import repair, without_edges
from components.shared.ledger import Ledger
from components.shared.progress import Progress
from components.shared.records import Document, Paper, read_records, write_records

FLAG_CHARACTERS = 500  # of a hidden text kept as evidence
HALVES = Part(0, 2), Part(1, 2)


def extract(config: ExtractConfig, papers: Path, documents: Path) -> dict[str, Any]:
    """Read the text of every paper's PDF, page by page; papers that give none are rejects with their reason."""
    found = list(read_records(papers / "papers.jsonl", Paper))
    ledger = Ledger("extract", "papers")
    progress = Progress("extract", "papers", len(found))
    counts: Counter[str] = Counter()
    kept: list[Document] = []
    for paper, text in zip(found, _texts(config, papers, found), strict=True):
        about = f"{paper.title} {paper.extra.get('comments', '')}".strip()
        progress.step(paper.key)
        if isinstance(text, PdfRejected):
            ledger.drop(paper.key, str(text), about)
            continue
        document = make_document(config, paper, text.pages)
        if document.quality < config.min_quality:
            ledger.drop(
                paper.key,
                "hardly any readable text",
                f"{document.quality:.2f} of words readable; {about}",
            )
            continue
        counts["pages left out"] += text.page_count - len(text.pages)
        counts.update(_counted(document))
        kept.append(document)
        ledger.keep()
    write_records(documents / "documents.jsonl", kept)
    ledger.facts |= {
        "pages": sum(len(document.pages) for document in kept),
        "pages left out": 0,
        **dict(counts),
    }
    return ledger.write(documents, papers)


def _counted(document: Document) -> Counter[str]:
    """Return what was repaired, marked and flagged in a document, for the ledger."""
    counts = Counter({f"repaired {kind}": count for kind, count in document.repairs.items()})
    for page in document.pages:
        counts.update(f"marked {mark['kind']}" for mark in page["marks"])
        counts.update(f"kept out: {flag['kind']}" for flag in page["flags"])
        counts["pages hardly readable"] += "reject" in page
    return counts


def _texts(
    config: ExtractConfig, folder: Path, found: list[Paper]
) -> Iterator[PdfText | PdfRejected]:
    """Yield what each PDF holds, in the order of `found`, reading several at a time."""

    def read(paper: Paper, part: Part) -> PdfText:
        return read_pdf(
            folder / paper.pdf,
            deadline_s=config.deadline_s,
            memory_mib=config.memory_mib,
            max_pages=config.max_pages,
            part=part,
        )

    processes = config.processes or os.cpu_count() or 1
    with ThreadPoolExecutor(processes) as pool:
        # The largest first, and in halves what would leave a process alone at the end: the last ones, and any giant.
        order = sorted(range(len(found)), key=lambda place: -found[place].bytes)
        share = sum(paper.bytes for paper in found) / processes
        reading = {}
        for rank, place in enumerate(order, 1):
            halved = rank > len(found) - processes or found[place].bytes > share
            parts = HALVES if halved and processes > 1 else [WHOLE]
            reading[place] = [pool.submit(read, found[place], part) for part in parts]
        for place in range(len(found)):
            try:
                yield joined([part.result() for part in reading[place]])
            except PdfRejected as rejected:
                yield rejected


def make_document(config: ExtractConfig, paper: Paper, raw: list[PageText]) -> Document:
    """Return the document: repaired pages with marks, flags and quality, whose offsets count from here on."""
    repairs: Counter[str] = Counter()
    texts: list[str] = []
    for page in raw:
        text, counts = repair(page.text)
        repairs.update(counts)
        texts.append(text)
    texts, counts = without_edges(texts)
    repairs.update(counts)
    cleaned = [without_instructions(text) for text in texts]
    texts = [text for text, _ in cleaned]
    pages = []
    for number, (page, (text, told), found) in enumerate(
        zip(raw, cleaned, marks(texts), strict=True), 1
    ):
        quality = readable_share(text)
        row = {
            "number": number,
            "text": text,
            "quality": quality,
            "marks": found,
            "flags": _flags(page, told),
        }
        if quality < config.min_page_quality:
            row["reject"] = "hardly any readable text"
        pages.append(row)
    return Document(
        paper=paper.arxiv_id,
        version=paper.version,
        title=paper.title,
        authors=paper.authors,
        licence=paper.licence,
        pages=pages,
        quality=readable_share("\n".join(texts)),
        repairs=dict(sorted(repairs.items())),
        submitted=paper.submitted,
    )


def _flags(page: PageText, told: list[str]) -> list[dict[str, str]]:
    """Return what was kept out of a page's text, and why."""
    flags = [{"kind": "instruction to a model", "text": sentence} for sentence in told]
    for reason, raw in page.hidden:
        text = repair(raw)[0]
        flags.append({"kind": f"hidden text: {reason}", "text": text[:FLAG_CHARACTERS]})
        flags += [
            {"kind": "instruction to a model, hidden", "text": sentence}
            for sentence in to_a_model(text)
        ]
    return flags
