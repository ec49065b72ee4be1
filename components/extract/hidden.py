"""Find text that no reader of the page sees: whatever hides it, the page looks the same without it.

Authors hide instructions to language models in papers. The page is drawn twice, with all text and
with none; a word whose place looks the same both times is hidden: white, transparent, clipped,
under a picture, on a layer that is off, beyond the edge. Words too small to read count as hidden
too. Coordinates are points of the page until `_pixels` turns them into pixels of the drawing.
"""

import ctypes

import numpy as np
import pypdfium2.raw as pdfium
from numpy.typing import NDArray
from pypdfium2 import PdfPage

SCALE = 1.0  # pixels a point: a letter of a footnote is three pixels wide
PIXELS = 4_000_000  # of a drawing; larger pages are drawn at a smaller scale
CONTRAST = 40  # of 255 that a letter must differ from what it stands on
SEEN = 0.5  # share of a word's letters that must be seen
TINY, NARROW = 3.0, 0.7  # points of a letter's longer and shorter side that can still be read
DEPTH = 40  # of forms within forms, as deep as pdfium draws them
SCANNED = 0.1  # a page is a scan, with its words recognised, where so few of them are drawn
COVERED = 0.5  # and a picture covers so much of it

Rows = NDArray[np.float64]
Whole = NDArray[np.int64]
Marks = NDArray[np.bool_]
Drawing = NDArray[np.uint8]  # (height, width, 3)


def seen_words(page: PdfPage, boxes: Rows, words: Whole, sizes: Rows, inks: Whole) -> Marks:
    """Return for each word whether a reader sees it.

    boxes: (letters, 4), left, bottom, right and top of each letter's ink. words: (letters,), the
    number of its word, from 0. sizes: (words, 2), width and height that a letter of it takes. inks:
    (words, 3), red, green and blue of its letters. Draws the page twice, and leaves it without
    text.
    """
    count = len(sizes)
    with_text = _drawn(page)
    covered = _without_text(page)
    paper = _drawn(page)
    places = _pixels(page, boxes, paper.shape)
    seen = _any_within(_differ(with_text, paper), places) & ~_like_paper(inks[words], paper, places)
    if seen.mean() < SCANNED and covered >= COVERED:
        return np.ones(count, dtype=bool)
    share = np.bincount(words, seen, count) / np.bincount(words, minlength=count)
    tiny = (sizes.max(axis=1) < TINY) | (sizes.min(axis=1) < NARROW)
    visible: Marks = (share >= SEEN) & ~tiny
    return visible


def _drawn(page: PdfPage) -> Drawing:
    width, height = page.get_size()
    scale = min(SCALE, (PIXELS / max(width * height, 1.0)) ** 0.5)
    drawn = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True).to_numpy()
    colours: Drawing = drawn[..., :3]
    return colours


def _without_text(page: PdfPage) -> float:
    """Make all text of a page invisible; return the share of the page that pictures cover."""
    width, height = page.get_size()
    pictures = 0.0
    for item in page.get_objects(max_depth=DEPTH):
        if item.type == pdfium.FPDF_PAGEOBJ_TEXT:
            pdfium.FPDFTextObj_SetTextRenderMode(item, pdfium.FPDF_TEXTRENDERMODE_INVISIBLE)
        elif item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = item.get_bounds()
            pictures = max(pictures, (right - left) * (top - bottom))
    return float(pictures / max(width * height, 1.0))


def _differ(one: Drawing, other: Drawing) -> Marks:
    """Return where two drawings differ as much as ink and paper do, in any colour."""
    distance = np.maximum(one, other) - np.minimum(one, other) > CONTRAST
    return distance[..., 0] | distance[..., 1] | distance[..., 2]


def _like_paper(inks: Whole, paper: Drawing, places: Whole) -> Marks:
    """Return which letters have the colour of what they stand on: other text may lie over them."""
    top, bottom, left, right = places.T
    rows = ((top + bottom) // 2).clip(0, paper.shape[0] - 1)
    columns = ((left + right) // 2).clip(0, paper.shape[1] - 1)
    alike: Marks = (abs(inks - paper[rows, columns]) <= CONTRAST).all(axis=1)
    return alike


def _pixels(page: PdfPage, boxes: Rows, shape: tuple[int, ...]) -> Whole:
    """Return (letters, 4) pixels: first and last row + 1, first and last column + 1."""
    height, width = shape[:2]

    def device(x: float, y: float) -> Rows:
        column, row = ctypes.c_int(), ctypes.c_int()
        size = width * 1000, height * 1000  # for whole numbers that are fine enough
        pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, column, row)
        return np.array([column.value, row.value]) / 1000

    origin = device(0, 0)
    across, up = (device(100, 0) - origin) / 100, (device(0, 100) - origin) / 100
    corners = []
    for x, y in ((0, 1), (0, 3), (2, 1), (2, 3)):
        corners.append(origin + boxes[:, [x]] * across + boxes[:, [y]] * up)
    low = np.floor(np.minimum.reduce(corners)).clip(0, [width, height]).astype(int)
    high = np.ceil(np.maximum.reduce(corners)).clip(0, [width, height]).astype(int)
    return np.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], axis=1)


def _any_within(marked: Marks, places: Whole) -> Marks:
    """Return for each place whether a pixel of it is marked."""
    sums = np.zeros((marked.shape[0] + 1, marked.shape[1] + 1), dtype=np.int32)
    np.cumsum(marked, axis=0, dtype=np.int32, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    top, bottom, left, right = places.T
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    found: Marks = (inside > 0) & (bottom > top) & (right > left)
    return found
