"""Title and authors from a paper's first page: the largest letters, and the names right below."""

import re
from dataclasses import dataclass
from typing import Any

STAMP = re.compile(r"arXiv:\S+")  # in the margin of arXiv's own PDFs, in letters of its own
OPENING = re.compile(r"\W*(abstract|summary|1\.?\s+introduction)\b", re.IGNORECASE)
PLACE = re.compile(
    r"@|\d{3}|https?:|\b(universit|institut|depart|school|college|laborator|labs?\b|center|centre|"
    r"corporation|inc\b|ltd|gmbh|academy|faculty|hospital|research|correspondence|technolog|"
    r"polytechnic|IIIT|USA|China|Germany|India|France|UK\b|Redmond)",
    re.IGNORECASE,
)
MARKS = re.compile(r"[\d*∗†‡§¶♠♣♦♥✉⋆#]+")
NAME = re.compile(r"[^\W\d_][\w.’'-]*(?: [^\W\d_][\w.’'-]*){1,4}")
SEPARATORS = re.compile(r"\s*(?:,|;|·|•|&|\band\b)\s*")
SMALLER = 0.85  # of a line's letters: what is smaller is a mark above it


@dataclass(frozen=True)
class Fragment:
    """A piece of text as the page draws it; `size` and `height` are in points."""

    text: str
    size: float
    height: float


def fragments(page: Any) -> list[Fragment]:
    """Return the upright pieces of a pypdf page, in the order that they are drawn."""
    found: list[Fragment] = []

    def visit(text: str, page_matrix: Any, matrix: Any, font: Any, size: float) -> None:
        if text.strip() and abs(matrix[1]) < abs(matrix[0] or 1) / 10:
            scale = abs(matrix[3] * page_matrix[3]) or 1.0
            height = matrix[5] * page_matrix[3] + page_matrix[5]
            found.append(Fragment(text, round(size * scale, 1), round(height)))

    page.extract_text(visitor_text=visit)
    return found


def title_and_authors(pieces: list[Fragment]) -> tuple[str, list[str]]:
    """Return the title, and the names between it and the abstract: "" and [] where none are
    found."""
    openings = [place for place, piece in enumerate(pieces) if OPENING.match(piece.text)]
    above = pieces[: openings[0]] if openings else []  # without an abstract there is no telling
    head = [piece for piece in above if not STAMP.match(piece.text.strip())]
    if not head:
        return "", []
    largest = max(piece.size for piece in head)
    start = next(place for place, piece in enumerate(head) if piece.size == largest)
    end = start
    while end < len(head) and head[end].size >= largest * SMALLER:
        end += 1
    title = " ".join("".join(piece.text for piece in head[start:end]).split())
    return title, _authors(head[end:])


def _authors(pieces: list[Fragment]) -> list[str]:
    """Return names from the lines of the first one's size, up to the first place."""
    names: list[str] = []
    begun = ""  # a name whose first word ended the line before
    for line in _lines(pieces):
        if PLACE.search(line):
            if names and "," in line:
                break
            continue
        parts = [part.strip(" .") for part in SEPARATORS.split(MARKS.sub(",", begun + line))]
        parts = [" ".join(part.split()) for part in parts if part]
        begun = f"{parts.pop()} " if parts and " " not in parts[-1] else ""
        # Names that nothing stands between stay together: they are named, if not told apart.
        names += [part for part in parts if NAME.fullmatch(part) or len(part.split()) > 5]
    return list(dict.fromkeys(names))


def _lines(pieces: list[Fragment]) -> list[str]:
    """Return the text of the author block line by line, without marks above it."""
    if not pieces:
        return []
    size = pieces[0].size
    text, height = "", pieces[0].height
    for piece in pieces:
        if piece.size < size * SMALLER:
            text += "*"  # a mark
            continue
        if abs(piece.height - height) > size / 2 and not text.rstrip().endswith(","):
            text += "\n"
        height = piece.height
        text += piece.text if "," in text.rsplit("\n", 1)[-1] + piece.text else piece.text + " "
    return [line.strip() for line in text.split("\n") if line.strip()]
