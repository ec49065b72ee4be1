"""From a PDF to a document: all that a stranger's text can make slow. Runs in a child process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.extract.config import ExtractConfig
from components.extract.marks import marks
from components.extract.pdf import PageText, read_pdf
from components.extract.quality import readable_share
from components.extract.repair import repair, without_edges
from components.shared.records import Document, Paper
from components.shared.text import clean_line

FLAG_CHARACTERS = 500  # of a hidden text kept as evidence
UNREADABLE = "hardly any readable text"


def read_document(path: Path, paper: Paper, config: ExtractConfig) -> tuple[Document, int]:
    """Return the document of a PDF, and how many of its pages were left out."""
    found = read_pdf(path, config.max_pages)
    return make_document(config, paper, found.pages), found.page_count - len(found.pages)


def make_document(config: ExtractConfig, paper: Paper, raw: Sequence[PageText]) -> Document:
    """Return repaired pages with marks, flags and quality; offsets count from here on."""
    texts, repairs = repair([page.text for page in raw])
    texts, edges = without_edges(texts)
    repairs.update(edges)
    pages = []
    for number, (page, text, found) in enumerate(zip(raw, texts, marks(texts), strict=True), 1):
        quality = readable_share(text)
        row: dict[str, Any] = {
            "number": number,
            "text": text,
            "quality": quality,
            "marks": found,
            "flags": [],
        }
        if page.hidden:  # as evidence for a person
            hidden = clean_line(page.hidden)[:FLAG_CHARACTERS]
            row["flags"] = [{"kind": "hidden text", "text": hidden}]
        if page.fault or quality < config.min_page_quality:
            row["reject"] = page.fault or UNREADABLE
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
