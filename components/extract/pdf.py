"""Read a PDF's text, page by page, as a reader of its pages sees it.

Runs in a child process: see `components.shared.sandbox`.
"""

import ctypes
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from components.extract.hidden import Marks, Rows, seen_words
from components.shared.pdf import PdfRejected, open_pdf

UNREADABLE = "\ufffd"  # for a glyph that names no character
CELLS = 2  # a point, in which the same letter is drawn once
NO_INK = (-999, -999, -999)  # unlike any paper
BREAK_HYPHEN = 2  # what pdfium calls a hyphen at the end of a line


class PageText(NamedTuple):
    """The text of one page, and what was hidden on it; `fault` says why there is none."""

    text: str
    hidden: str = ""
    fault: str = ""


class PdfText(NamedTuple):
    """What the pages read hold, and how many pages the file has."""

    pages: list[PageText]
    page_count: int


def read_pdf(path: Path, max_pages: int) -> PdfText:
    """Return the texts of the first `max_pages` pages; raise PdfRejected with the reason."""
    document = open_pdf(path)
    count = len(document)
    pages, pictures = [], False
    for number in range(min(count, max_pages)):
        try:
            page = _uncropped(document, number)
            found = _read_page(page)
            pictures |= not found.text and _has_pictures(page)
            page.close()
        except MemoryError:
            raise
        except Exception:  # damage shows in errors of many kinds, and costs this page
            found = PageText("", fault="broken page")
        pages.append(found)
    if all(page.fault for page in pages):
        raise PdfRejected("broken PDF (no page opens)")
    if not any(page.text.strip() for page in pages):
        raise PdfRejected("no text, only images: a scan" if pictures else "no text on its pages")
    return PdfText(pages, count)


def _uncropped(document: pypdfium2.PdfDocument, number: int) -> pypdfium2.PdfPage:
    """Open a page as it was written: not rotated, nor cropped where that leaves hardly any text."""
    page = document[number]
    whole, shown = page.get_mediabox(), page.get_cropbox()
    if shown != whole:
        textpage = page.get_textpage()
        inside = len(textpage.get_text_bounded(*shown).split())
        if 2 * inside >= len(textpage.get_text_range().split()):
            whole = shown
        textpage.close()
    if shown == whole and not page.get_rotation():
        return page
    page.set_cropbox(*whole)
    page.set_rotation(0)
    page.close()
    return document[number]


def _read_page(page: pypdfium2.PdfPage) -> PageText:
    textpage = page.get_textpage()
    letters, boxes = _letters(textpage)
    words, first = _words(letters)
    if not first:
        return PageText("")
    # Glyphs that name no character: what their codes look like is chance.
    nameless = sum(pdfium.FPDFText_HasUnicodeMapError(textpage, place) == 1 for place in first)
    if 2 * nameless > len(first):
        return PageText(re.sub(r"\S", UNREADABLE, "".join(letters)))
    sizes = np.array([_size(textpage, place) for place in first])
    inks = np.array([_ink(textpage, place) for place in first])
    numbers = np.array(words)
    shown = numbers >= 0
    seen = seen_words(page, boxes[shown], numbers[shown], sizes, inks)
    again = _drawn_again(letters, boxes)
    text: list[str] = []
    hidden: list[str] = []
    for place, (letter, word) in enumerate(zip(letters, words, strict=True)):
        if word < 0:
            text.append(letter)
            hidden.append(" ")
        elif not seen[word]:
            hidden.append(letter)
        elif not again[place]:
            text.append(letter)
    return PageText("".join(text), " ".join("".join(hidden).split()))


def _letters(textpage: pypdfium2.PdfTextPage) -> tuple[list[str], Rows]:
    """Return the letters of a page, and (letters, 4) left, bottom, right, top of their ink."""
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    letters, boxes = [], []
    for place in range(textpage.count_chars()):
        code = pdfium.FPDFText_GetUnicode(textpage, place)
        pdfium.FPDFText_GetCharBox(textpage, place, left, right, bottom, top)
        letters.append("-\n" if code == BREAK_HYPHEN else chr(code))
        boxes.append((left.value, bottom.value, right.value, top.value))
    return letters, np.array(boxes).reshape(-1, 4)


def _words(letters: list[str]) -> tuple[list[int], list[int]]:
    """Return for each letter the number of its word, or -1, and where each word begins."""
    words: list[int] = []
    first: list[int] = []
    inside = False
    for place, letter in enumerate(letters):
        blank = letter.isspace()
        if not blank and not inside:
            first.append(place)
        words.append(-1 if blank else len(first) - 1)
        inside = not blank and letter != "-\n"
    return words, first


def _size(textpage: pypdfium2.PdfTextPage, place: int) -> tuple[float, float]:
    """Return width and height of the room that the font gives a letter, in points."""
    room = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(textpage, place, room)
    return abs(room.right - room.left), abs(room.top - room.bottom)


def _ink(textpage: pypdfium2.PdfTextPage, place: int) -> tuple[int, int, int]:
    """Return red, green and blue of a letter that is filled with one colour, else none at all."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    plain = pdfium.FPDFText_GetFillColor(textpage, place, red, green, blue, alpha)
    mode = pdfium.FPDFTextObj_GetTextRenderMode(pdfium.FPDFText_GetTextObject(textpage, place))
    if not plain or mode != pdfium.FPDF_TEXTRENDERMODE_FILL:
        return NO_INK
    return red.value, green.value, blue.value


def _drawn_again(letters: list[str], boxes: Rows) -> Marks:
    """Return which letters are drawn where the same one is already: to look bold, or by a loop."""
    codes = np.array([ord(letter[0]) for letter in letters], dtype=np.int64)
    again = np.zeros(len(letters), dtype=bool)
    for shift in (0.0, 0.5):  # two grids: at the edge of a cell is in the middle of another
        cells = np.floor(boxes[:, :2] * CELLS + shift).astype(np.int64)
        keys = codes + (cells[:, 0] << 21) + (cells[:, 1] << 42)
        first = np.zeros(len(letters), dtype=bool)
        first[np.unique(keys, return_index=True)[1]] = True
        again |= ~first
    return again


def _has_pictures(page: pypdfium2.PdfPage) -> bool:
    return any(True for _ in page.get_objects([pdfium.FPDF_PAGEOBJ_IMAGE]))
