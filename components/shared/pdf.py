"""What a whole PDF is: one rule for the stages that take one in, show one or read one.

Everything here opens what strangers made: call it by `components.shared.sandbox.run_in_child`.
"""

import graphlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.errors import DataError
from components.shared.text import clean_line

if TYPE_CHECKING:
    import pypdfium2

SIGNATURE_WITHIN = 1024  # bytes in which every reader looks for %PDF-
OPENING = 1500  # characters of a first page that pass for an abstract
STAMP = re.compile(r"arXiv:\S+")  # in the margin of arXiv's own PDFs, often the first line
PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_PAGE = re.compile(rb"/Type\s*/Page\b|/ObjStm\b")  # a page, or a place where one may be packed

_NODE = re.compile(rb"\b(?P<object>\d{1,9}) \d{1,5} obj\b|/Kids\s{0,9}\[(?P<kids>[\d\sR]*+)\]")
_REFERENCE = re.compile(rb"(\d{1,9})\s{1,9}\d{1,5}\s{1,9}R")


class PdfRejected(DataError):
    """This file is no PDF that can be read; `problem` is a short phrase that groups."""


def open_pdf(path: Path) -> "pypdfium2.PdfDocument":
    """Open a whole PDF; raise PdfRejected with the reason for anything else."""
    import pypdfium2

    try:
        data = path.read_bytes()
    except OSError as error:
        raise PdfRejected(f"file cannot be read ({error.strerror})") from None
    if not data:
        raise PdfRejected("empty file")
    if b"%PDF-" not in data[:SIGNATURE_WITHIN]:
        raise PdfRejected("not a PDF")
    if data.rfind(b"startxref") < data.rfind(b"endobj"):  # what ends each version of a file
        raise PdfRejected("broken PDF (cut off)")
    if _goes_round(data):
        raise PdfRejected("broken PDF (its pages go round in a circle)")
    try:
        document = pypdfium2.PdfDocument(data)
        count = len(document)
    except pypdfium2.PdfiumError as error:
        if error.err_code == PASSWORD_ERROR:
            raise PdfRejected("encrypted") from None
        reason = "broken PDF (unreadable)" if _PAGE.search(data) else "no pages"
        raise PdfRejected(reason) from None
    if count == 0:
        raise PdfRejected("no pages")
    return document


def _goes_round(data: bytes) -> bool:
    """Tell whether a node of the tree of pages lies below itself."""
    kids: dict[bytes, list[bytes]] = {}
    node = b""
    for found in _NODE.finditer(data):
        if found["object"]:
            node = found["object"]
        else:
            kids[node] = _REFERENCE.findall(found["kids"])
    try:
        graphlib.TopologicalSorter(kids).prepare()
    except graphlib.CycleError:
        return True
    return False


def check(path: str) -> None:
    """Raise PdfRejected unless a file is a whole PDF whose first page opens."""
    import pypdfium2

    document = open_pdf(Path(path))
    try:
        document[0].close()
    except pypdfium2.PdfiumError:
        raise PdfRejected("broken PDF (its first page does not open)") from None


def title_and_opening(path: str) -> tuple[str, str]:
    """Return the title and the first words of the abstract, "" for what a PDF does not tell."""
    document = open_pdf(Path(path))
    named = clean_line(document.get_metadata_value("Title"))
    text = document[0].get_textpage().get_text_range()
    lines = [clean_line(line) for line in text.splitlines()]
    lines = [line for line in lines if line and not STAMP.match(line)]
    whole = " ".join(lines)
    opening = re.search(r"\babstract\b[\s.:-]{0,5}", whole, re.IGNORECASE)
    title = named if named and not STAMP.match(named) else "".join(lines[:1])
    return title[:300], whole[opening.end() if opening else 0 :][:OPENING]
