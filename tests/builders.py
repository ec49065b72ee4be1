"""Small records and files that tests build on; every field can be set by name."""

from pathlib import Path
from typing import Any

from components.shared.records import Document, Example, Paper, Source, Triple, write_records

CC_BY = "http://creativecommons.org/licenses/by/4.0/"
NONEXCLUSIVE = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"


def paper(**fields: Any) -> Paper:
    row = {
        "arxiv_id": "2405.90001",
        "version": 1,
        "title": "A Title",
        "authors": ["Invented Author Group 01"],
        "abstract": "An abstract.",
        "categories": ["cs.CL"],
        "submitted": "2024-05-01",
        "licence": CC_BY,
        "pdf": "pdf/2405.90001v1.pdf",
        "bytes": 1,
        "sha256": "0" * 64,
        "source": "search",
        "fetched_at": "2026-01-01T00:00:00Z",
    }
    return Paper.from_dict({**row, **fields})


def document(pages: list[str], **fields: Any) -> Document:
    row = {
        "paper": "2405.90001",
        "version": 1,
        "title": "A Title",
        "authors": ["Invented Author Group 01"],
        "licence": CC_BY,
        "pages": [{"number": number, "text": text} for number, text in enumerate(pages, 1)],
        "quality": 0.9,
        "repairs": {},
    }
    return Document.from_dict({**row, **fields})


def triple(**fields: Any) -> Triple:
    row = {
        "instruction": "State the final claim.",
        "input": "First claim here. Second claim there.",
        "output": "Second claim there.",
        "kind": "final claim",
        "paper": "2405.90001",
        "version": 1,
        "page": 1,
        "evidence": [[0, 10]],
        "grounding": 1.0,
        "teacher": "embedded",
        "teacher_licence": "Apache-2.0",
        "prompt_hash": "0",
        **fields,
    }
    return Triple.from_dict({"id": f"{hash_of(row)}", **row})


def hash_of(row: dict[str, Any]) -> str:
    from components.shared.records import digest

    return digest([row["paper"], row["instruction"], row["input"], row["output"]])[:16]


def source(paper: str, licence: str = CC_BY) -> Source:
    row = {
        "paper": paper,
        "version": 1,
        "title": f"Title of {paper}",
        "authors": ["Invented Author Group 01"],
    }
    return Source.from_dict({**row, "licence": licence})


def write_triples(
    folder: Path, triples: list[Triple], licences: dict[str, str] | None = None
) -> Path:
    write_records(folder / "triples.jsonl", triples)
    papers = sorted({triple.paper for triple in triples})
    write_records(
        folder / "sources.jsonl",
        [source(name, (licences or {}).get(name, CC_BY)) for name in papers],
    )
    return folder


def example(**fields: Any) -> Example:
    row = {
        "triple": "t1",
        "paper": "2405.90001",
        "kind": "final claim",
        "instruction": "State the final claim.",
        "input": "First claim here. Second claim there.",
        "prompt": "PROMPT",
        "completion": "Second claim there.",
    }
    return Example.from_dict({**row, **fields})


def write_pdf(path: Path, pages: list[str]) -> Path:
    """Write a real PDF of plain lines."""
    from reportlab.pdfgen.canvas import Canvas

    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(str(path), invariant=1)
    for page in pages:
        text = canvas.beginText(60, 780)
        for line in page.splitlines():
            text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return path
