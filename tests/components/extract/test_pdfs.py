"""PDFs as they are met: each gives its text, or is a reject that says why, at scrape as well."""

import contextlib
import json
import random
from pathlib import Path

import pytest

from components.extract.config import ExtractConfig
from components.extract.core import extract
from components.extract.pdf import read_pdf
from components.shared.errors import DataError
from components.shared.pdf import check
from components.shared.records import Document, read_records, write_records
from tests.builders import paper
from tests.pdfs import (
    BAD_PAGES,
    HIDDEN,
    LINES,
    PLAIN,
    REJECTS,
    SEEN,
    SOUND,
    WAYS,
    beside_the_crop,
    bomb,
    lines,
    pages,
    pdf,
    with_planted,
)

CONFIG = {"processes": 2}


def read(folder: Path, files: dict[str, bytes], **knobs: object) -> dict[str, Document | str]:
    """Run the stage; return for each file its document, or the reason why there is none."""
    records = []
    for number, (name, content) in enumerate(files.items()):
        (folder / f"{number}.pdf").write_bytes(content)
        records.append(paper(arxiv_id=name, pdf=f"{number}.pdf", bytes=len(content)))
    write_records(folder / "papers.jsonl", records)
    config = ExtractConfig(**{**CONFIG, **knobs})  # type: ignore[arg-type]
    summary = extract(config, folder, folder / "documents")
    assert summary["seen"] == len(files)
    documents = read_records(folder / "documents/documents.jsonl", Document)
    read: dict[str, Document | str] = {document.paper: document for document in documents}
    for row in map(json.loads, (folder / "documents/rejects.jsonl").open()):
        read[row["item"][:-2]] = row["reason"]
    return read


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document | str]:
    files = {name: make() for name, make in SOUND.items()}
    files |= {name: make() for name, (make, _) in REJECTS.items()}
    for name, content in BAD_PAGES.items():
        files[name] = pdf(pages(lines(), content, lines()))
    files |= {name: with_planted(content) for name, content in {**WAYS, **SEEN}.items()}
    files["beside the crop box"] = beside_the_crop()
    return read(tmp_path_factory.mktemp("pdfs"), files)


def text_of(document: Document | str, page: int = 0) -> str:
    assert isinstance(document, Document), document
    return str(document.pages[page]["text"])


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_pdf_gives_all_its_text(results: dict[str, Document | str], name: str) -> None:
    found = text_of(results[name]).split("\n")
    assert found[: len(LINES)] == LINES
    assert len(found) <= len(LINES) + 1
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", REJECTS)
def test_a_bad_pdf_is_a_reject_with_its_reason(
    results: dict[str, Document | str], name: str
) -> None:
    assert results[name] == REJECTS[name][1]


@pytest.mark.parametrize("name", BAD_PAGES)
def test_one_bad_page_costs_one_page(results: dict[str, Document | str], name: str) -> None:
    document = results[name]
    assert isinstance(document, Document)
    assert ["reject" in page for page in document.pages] == [False, True, False]
    assert text_of(document, 2).split("\n") == LINES


@pytest.mark.parametrize("name", [*SOUND, *REJECTS])
def test_what_a_whole_pdf_is_has_one_rule(tmp_path: Path, name: str) -> None:
    make = SOUND.get(name) or REJECTS[name][0]
    path = tmp_path / "x.pdf"
    path.write_bytes(make())
    no_whole_file = name in REJECTS and REJECTS[name][1].startswith(
        ("empty", "not", "bro", "enc", "no pages")
    )
    if no_whole_file:
        with pytest.raises(DataError) as error:
            check(str(path))
        assert error.value.problem == REJECTS[name][1]
    else:
        check(str(path))


@pytest.mark.parametrize("way", [*WAYS, "beside the crop box"])
def test_what_no_reader_sees_is_kept_out(results: dict[str, Document | str], way: str) -> None:
    assert text_of(results[way]).split("\n") == LINES
    document = results[way]
    assert isinstance(document, Document)
    (flag,) = document.pages[0]["flags"]
    assert flag["kind"] == "hidden text"
    assert "MARKER" in flag["text"]


@pytest.mark.parametrize("way", SEEN)
def test_what_a_reader_sees_stays(results: dict[str, Document | str], way: str) -> None:
    assert HIDDEN in text_of(results[way])


def test_a_page_that_unpacks_without_end_ends_its_child_only(tmp_path: Path) -> None:
    read_now = read(tmp_path, {"bomb": bomb(), "plain": PLAIN}, deadline_s=20)
    assert isinstance(read_now["bomb"], str)
    assert text_of(read_now["plain"]).split("\n") == LINES


def test_a_file_that_takes_too_long_is_a_reject(tmp_path: Path) -> None:
    slow = pdf(pages(*[lines(9 * LINES)] * 150))
    assert read(tmp_path, {"slow": slow}, deadline_s=0.2, max_pages=500) == {
        "slow": "not read within 0.2 s"
    }


def test_text_that_attacks_the_marks_ends_in_time(tmp_path: Path) -> None:
    link = "https://doi.org/x" * 3_000 + " b c"
    files = {
        "links": pdf(pages(lines([*LINES, link]))),
        "a long line": pdf(pages(lines([*LINES, "a b " * 30_000]))),
        "hyphens": pdf(pages(lines([*LINES, "-".join(["ab"] * 30_000)]))),
        "braces": pdf(pages(lines([*LINES, "{a, " * 20_000 + "@b"]))),
    }
    for name, document in read(tmp_path, files, deadline_s=60).items():
        assert text_of(document).startswith(LINES[0]), name


def test_pages_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    tree = b"<< /Type /Pages /Kids [%s] /Count 9999 >>" % b" ".join([b"20 0 R"] * 9999)
    (tmp_path / "x.pdf").write_bytes(pdf(pages(lines()) | {2: tree}))
    found = read_pdf(tmp_path / "x.pdf", max_pages=5)
    assert (len(found.pages), found.page_count) == (5, 9999)


def test_whatever_is_damaged_is_read_or_rejected(tmp_path: Path) -> None:
    chosen = random.Random(0)
    files = {}
    for number in range(40):
        name, make = chosen.choice(list(SOUND.items()))
        content = bytearray(make())
        for _ in range(chosen.choice([1, 3, 30])):
            content[chosen.randrange(len(content))] = chosen.randrange(256)
        files[f"{number} {name}"] = bytes(content[: chosen.choice([None, None, -200])])
    assert read(tmp_path, files, deadline_s=2).keys() == files.keys()


def test_every_cut_of_a_file_is_read_or_rejected(tmp_path: Path) -> None:
    for size in range(0, len(PLAIN), 97):
        (tmp_path / "x.pdf").write_bytes(PLAIN[:size])
        with contextlib.suppress(DataError):
            read_pdf(tmp_path / "x.pdf", 5)


@pytest.mark.parametrize(
    "box", ["[0 0 0 0]", "[0 0 1e9 1e9]", "[nan 1 2 3]", "(x)", "[0 0 1 99999]"]
)
def test_odd_boxes_are_no_bug(tmp_path: Path, box: str) -> None:
    page = b"/MediaBox " + box.encode()
    (tmp_path / "x.pdf").write_bytes(pdf(pages(lines(), page=page)))
    with contextlib.suppress(DataError):
        read_pdf(tmp_path / "x.pdf", 5)
