"""Extract: papers -> documents."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from components.extract.config import ExtractConfig
from components.extract.pdf import PdfRejected, PdfText, read_pdf
from components.extract.quality import readable_share
from components.extract.repair import repair
from components.shared.ledger import Ledger
from components.shared.progress import Progress
from components.shared.records import Document, Paper, read_records, write_records


def extract(config: ExtractConfig, papers: Path, documents: Path) -> dict[str, Any]:
    """Read the text of every paper's PDF, page by page; papers that give none are rejects with their reason."""
    found = list(read_records(papers / "papers.jsonl", Paper))
    ledger = Ledger("extract", "papers")
    progress = Progress("extract", "papers", len(found))
    repairs: Counter[str] = Counter()
    kept: list[Document] = []
    left_out = 0
    for paper, text in zip(found, _texts(config, papers, found), strict=True):
        about = f"{paper.title} {paper.extra.get('comments', '')}".strip()
        progress.step(paper.key)
        if isinstance(text, PdfRejected):
            ledger.drop(paper.key, str(text), about)
            continue
        document = _document(paper, text.pages)
        if document.quality < config.min_quality:
            ledger.drop(paper.key, "hardly any readable text", f"{document.quality:.2f} of words readable; {about}")
            continue
        left_out += text.page_count - len(text.pages)
        repairs.update(document.repairs)
        kept.append(document)
        ledger.keep()
    write_records(documents / "documents.jsonl", kept)
    ledger.facts |= {"pages": sum(len(document.pages) for document in kept), "pages left out": left_out}
    ledger.facts |= {f"repaired {kind}": count for kind, count in sorted(repairs.items())}
    return ledger.write(documents, papers)


def _texts(config: ExtractConfig, folder: Path, found: list[Paper]) -> Iterator[PdfText | PdfRejected]:
    """Yield what each PDF holds, in the order of `found`, reading several at a time."""

    def read(paper: Paper) -> PdfText | PdfRejected:
        try:
            return read_pdf(
                folder / paper.pdf,
                deadline_s=config.deadline_s,
                memory_mib=config.memory_mib,
                max_pages=config.max_pages,
            )
        except PdfRejected as rejected:
            return rejected

    with ThreadPoolExecutor(config.processes or os.cpu_count()) as pool:
        yield from pool.map(read, found)


def _document(paper: Paper, texts: list[str]) -> Document:
    repairs: Counter[str] = Counter()
    pages: list[dict[str, Any]] = []
    for number, raw in enumerate(texts, 1):
        text, counts = repair(raw)
        repairs.update(counts)
        pages.append({"number": number, "text": text})
    return Document(
        paper=paper.arxiv_id,
        version=paper.version,
        title=paper.title,
        authors=paper.authors,
        licence=paper.licence,
        pages=pages,
        quality=readable_share("\n".join(page["text"] for page in pages)),
        repairs=dict(sorted(repairs.items())),
    )
