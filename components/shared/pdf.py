"""What a whole PDF is: one rule for the stages that take one in or read one.

Everything here opens what strangers made: call it by `components.shared.sandbox.run_in_child`.
"""

import graphlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.errors import DataError

if TYPE_CHECKING:
    import pypdfium2

SIGNATURE_WITHIN = 1024  # bytes in which every reader looks for %PDF-
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
