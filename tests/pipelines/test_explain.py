"""`arxtune explain`: the passage that a triple rests on, or one line that says why not."""

from pathlib import Path

import pytest

from components.shared.errors import DataError
from components.shared.records import write_records
from pipelines.explain import explain
from tests.builders import document, triple, write_triples

PAGE = "Before it. First claim here. Second claim there. After it."
SPAN = [PAGE.index("First"), PAGE.index(" After")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_triples(
        tmp_path, [triple(evidence=[SPAN]), triple(evidence=[SPAN], output="Third claim there 7.")]
    )
    (tmp_path / "rejects.jsonl").write_text("")
    write_records(tmp_path / "documents.jsonl", [document([PAGE])])
    return tmp_path


def test_the_passage_is_shown_with_its_place(folder: Path) -> None:
    text = explain(triple().id[:10], folder, folder)
    assert "Before it. ⟦First claim here. Second claim there.⟧ After it." in text
    assert f"paper        2405.90001v1, page 1, characters {SPAN[0]}-{SPAN[1]}" in text
    assert "grounding    1.00\n" in text


def test_what_speaks_against_a_triple_is_told(folder: Path) -> None:
    text = explain(triple(output="Third claim there 7.").id, folder, folder)
    assert "(the number 7 does not stand in the passage)" in text


def test_an_unknown_or_ambiguous_id_is_one_line(folder: Path) -> None:
    with pytest.raises(DataError, match="there is no triple 'nope'"):
        explain("nope", folder, folder)
    with pytest.raises(DataError, match="'' matches 2 triples; use a longer prefix"):
        explain("", folder, folder)


def test_a_text_or_a_page_that_is_not_there_is_one_line(folder: Path) -> None:
    write_records(folder / "documents.jsonl", [document(["Another page."], paper="2405.90009")])
    with pytest.raises(DataError, match=r"holds no page 1 of 2405\.90001v1"):
        explain(triple().id, folder, folder)
    (folder / "rejects.jsonl").unlink()
    with pytest.raises(DataError, match="there is no triple 'nope'"):
        explain("nope", folder, folder)
