"""Render a sample paper as a PDF; the same text gives the same bytes."""

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

FOOT = "Invented sample paper, not on arXiv"


def render(
    title: str, authors: Sequence[str], sections: Sequence[tuple[str, Sequence[str]]]
) -> bytes:
    """Return the PDF of a paper: title, authors, headed sections, a running foot with the page
    number."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import cm
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    style = _styles()
    story = [
        Paragraph(escape(title), style["title"]),
        Paragraph(escape(", ".join(authors)), style["authors"]),
    ]
    for heading, paragraphs in sections:
        story.append(Paragraph(escape(heading), style["heading"]))
        story += [Paragraph(escape(text), style["body"]) for text in paragraphs]

    def foot(canvas: Any, document: Any) -> None:
        canvas.setFont("Times-Italic", 9)
        canvas.drawCentredString(A4[0] / 2, 1.6 * cm, f"{FOOT}  -  {canvas.getPageNumber()}")

    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=3.2 * cm,
        rightMargin=3.2 * cm,
        topMargin=2.8 * cm,
        bottomMargin=2.8 * cm,
        title=title,
        author=", ".join(authors),
        invariant=1,  # no clock and no random id in the file
    )
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()


def _styles() -> dict[str, Any]:
    from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
    from reportlab.lib.styles import ParagraphStyle

    return {
        "title": ParagraphStyle(
            "title", fontName="Times-Bold", fontSize=17, leading=22, alignment=TA_CENTER
        ),
        "authors": ParagraphStyle(
            "authors", fontName="Times-Roman", fontSize=11, leading=26, alignment=TA_CENTER
        ),
        "heading": ParagraphStyle(
            "heading",
            fontName="Times-Bold",
            fontSize=12.5,
            leading=16,
            spaceBefore=12,
            spaceAfter=5,
            keepWithNext=1,
        ),
        "body": ParagraphStyle(
            "body",
            fontName="Times-Roman",
            fontSize=11,
            leading=16,
            spaceAfter=8,
            alignment=TA_JUSTIFY,
        ),
    }
