"""Extract: text comes out by page; broken and hostile files are rejects with a reason, never the end of the stage."""

import json
from pathlib import Path

import pytest

from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.extract.pdf import PdfRejected, read_pdf
from components.extract.quality import readable_share
from components.extract.repair import repair, without_edges
from components.shared.records import Document, read_records, write_records
from tests.builders import paper, write_pdf

PROSE = "\n".join(
    f"The model reads line {number} of the page and keeps what it says." for number in range(12)
)


def run(folder: Path, **knobs: object) -> tuple[dict[str, object], list[Document]]:
    config = ExtractConfig(**knobs)  # type: ignore[arg-type]
    summary = extract(config, folder / "papers", folder / "documents")
    return summary, list(read_records(folder / "documents/documents.jsonl", Document))


def papers(folder: Path, **files: bytes | list[str]) -> None:
    records = []
    for name, content in files.items():
        path = folder / "papers" / f"{name}.pdf"
        if isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        else:
            write_pdf(path, content)
        records.append(
            paper(
                arxiv_id=name, pdf=path.name, title=f"Title of {name}", comments=f"file {name}.pdf"
            )
        )
    write_records(folder / "papers" / "papers.jsonl", records)


def test_every_page_keeps_its_number_and_text(tmp_path: Path) -> None:
    papers(tmp_path, good=[PROSE, "Second page.\n" + PROSE])
    summary, (document,) = run(tmp_path)
    assert [page["number"] for page in document.pages] == [1, 2]
    assert document.pages[0]["text"].startswith("The model reads line 0")
    assert document.pages[1]["text"].startswith("Second page.")
    assert summary["kept"] == 1


def test_bad_files_are_rejects_with_reason_and_name(tmp_path: Path) -> None:
    papers(
        tmp_path,
        good=[PROSE],
        empty=b"",
        text=b"just a text file, renamed",
        broken=b"%PDF-1.7\nobject soup\n%%EOF\n",
        blank=[""],
    )
    summary, documents = run(tmp_path)
    rejects = {
        row["item"]: row for row in map(json.loads, (tmp_path / "documents/rejects.jsonl").open())
    }
    assert [document.paper for document in documents] == ["good"]
    assert rejects["emptyv1"]["reason"] == "empty file"
    assert rejects["textv1"]["reason"] == "not a PDF"
    assert rejects["brokenv1"]["reason"].startswith("broken PDF")
    assert rejects["blankv1"]["reason"] == "hardly any readable text"
    assert "file broken.pdf" in rejects["brokenv1"]["detail"]
    assert summary["seen"] == summary["kept"] + len(rejects) == 5  # type: ignore[operator]


def test_an_encrypted_file_is_a_reject(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    plain = write_pdf(tmp_path / "plain.pdf", [PROSE])
    writer = PdfWriter(clone_from=PdfReader(plain))
    writer.encrypt("a password")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(PdfRejected, match="encrypted"):
        read_pdf(tmp_path / "locked.pdf", deadline_s=20, memory_mib=1024, max_pages=10)


def test_a_file_that_takes_too_long_ends_its_child_only(tmp_path: Path) -> None:
    slow = write_pdf(tmp_path / "slow.pdf", [PROSE] * 400)
    with pytest.raises(PdfRejected, match=r"not read within 0\.2 s"):
        read_pdf(slow, deadline_s=0.2, memory_mib=1024, max_pages=400)


def test_pages_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    papers(tmp_path, long=[PROSE] * 5)
    summary, (document,) = run(tmp_path, max_pages=3)
    assert len(document.pages) == 3
    assert summary["facts"]["pages left out"] == 2  # type: ignore[index]


def test_no_papers_give_no_documents(tmp_path: Path) -> None:
    papers(tmp_path)
    assert run(tmp_path)[1] == []


def test_repairs_are_made_and_counted() -> None:
    text, counts = repair(
        "the ef\ufb01cient trans-\nformer\x00 learns\u00a0\u00a0fast\n\n  and well"
    )
    assert text == "the efficient transformer learns fast\nand well"
    assert counts == {"ligatures": 1, "hyphen breaks": 1, "control characters": 1}


def test_a_compound_at_the_end_of_a_line_before_a_capital_keeps_its_hyphen() -> None:
    assert repair("the non-\nGaussian case")[0] == "the non-\nGaussian case"


def test_lone_surrogates_never_reach_a_record() -> None:
    repair("broken \ud835 glyph")[0].encode("utf-8")


def test_prose_is_readable_and_glyph_soup_is_not() -> None:
    assert readable_share(PROSE) > 0.9
    assert readable_share("/g12 /g7 #~ %% x1y )( " * 40) < 0.3
    assert readable_share("too short") == 0.0


def test_running_heads_page_numbers_and_stamps_are_removed_and_counted() -> None:
    body = ["amber", "birch", "cedar", "dusk", "elm"]
    pages = [
        f"A Short Title\n{word} above\n{PROSE}\nInvented Press 2024\n{n}"
        for n, word in enumerate(body, 1)
    ]
    pages[0] = f"arXiv:2407.00001v1 [cs.CL] 3 Jul 2024\n{pages[0]}"
    cleaned, counts = without_edges(pages)
    assert counts == {"running heads": 10, "page numbers": 5, "arXiv stamps": 1}
    assert cleaned[1] == f"birch above\n{PROSE}"


def test_lines_that_stand_on_few_pages_stay() -> None:
    pages = ["One opening.\nText.", "Another opening.\nText of 2.", "A third.\n3 results follow."]
    assert without_edges(pages)[0] == pages
