"""A local PDF is known by its own words: all lines of its title, and the names below them."""

from pathlib import Path

import pytest

from components.scrape.standin.front_page import fragments, title_and_authors

TITLE = ["On the Gates of Residual", "Networks While They Train"]
ABSTRACT = ["Abstract", "We measure how the gate norm of a residual network changes."]
Line = tuple[str, float]  # text, size in points


def page(path: Path, lines: list[Line]) -> list[object]:
    from pypdf import PdfReader
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path))
    canvas.saveState()
    canvas.rotate(90)
    canvas.setFont("Helvetica", 20)
    canvas.drawString(200, -30, "arXiv:2401.00001v1  [cs.LG]  2 Jul 2024")
    canvas.restoreState()
    height = 760.0
    for text, size in lines:
        canvas.setFont("Helvetica", size)
        canvas.drawString(72, height, text)
        height -= 1.4 * size
    canvas.save()
    return list(fragments(PdfReader(path).pages[0]))


@pytest.mark.parametrize(
    ("block", "authors"),
    [
        (
            ["Ada Example, Bo Invented and Chi Pretend"],
            ["Ada Example", "Bo Invented", "Chi Pretend"],
        ),
        (["Ada Example1, Bo Invented2*"], ["Ada Example", "Bo Invented"]),
        (
            ["Ada Example", "A University", "ada@example.org", "Bo Invented"],
            ["Ada Example", "Bo Invented"],
        ),
        (
            ["Ada Example, Bo", "Invented", "University of Somewhere"],
            ["Ada Example", "Bo Invented"],
        ),
        (["Jean-Luc d’Exemple"], ["Jean-Luc d’Exemple"]),
        (["Ada Ex Bo In Chi Pre"], ["Ada Ex Bo In Chi Pre"]),  # not told apart, not lost
        (["An Institute of Research"], []),
        ([], []),
    ],
)
def test_title_and_authors(tmp_path: Path, block: list[str], authors: list[str]) -> None:
    lines = [(line, 16.0) for line in TITLE] + [(line, 12.0) for line in block]
    lines += [(line, 9.0) for line in ABSTRACT]
    found = title_and_authors(page(tmp_path / "a.pdf", lines))  # type: ignore[arg-type]
    assert found == (" ".join(TITLE), authors)


def test_a_page_without_an_abstract_tells_nothing(tmp_path: Path) -> None:
    lines = [("A heading", 16.0), ("Some text that goes on and on.", 9.0)]
    assert title_and_authors(page(tmp_path / "a.pdf", lines)) == ("", [])  # type: ignore[arg-type]
    assert title_and_authors([]) == ("", [])
