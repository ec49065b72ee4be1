r"""Names as arXiv's metadata writes them: with TeX's accents, affiliations, suffixes and
collaborations.

OAI-PMH tells the line of authors as it was typed, the abstract page the same line with TeX
turned into letters; the API and the search pages lose parts of it (suffixes, the article of "the
ATLAS Collaboration", all beyond the 25th)."""

import re
import unicodedata

COMBINING = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "u": "\u0306",
    ".": "\u0307",
    '"': "\u0308",
    "r": "\u030a",
    "H": "\u030b",
    "v": "\u030c",
    "d": "\u0323",
    "c": "\u0327",
    "k": "\u0328",
}
LETTERS = {
    "ss": "ß",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "OE": "Œ",
    "aa": "å",
    "AA": "Å",
    "i": "ı",
    "j": "ȷ",
}
# \'e \'{e} {\'e} \'{\i} \c{c} \v s: a mark and its letter, and a brace around both where there is
# one
ACCENT = re.compile(
    r"(\{)?\\(?:(?P<sign>[`'^\"~=.])|(?P<name>[uvHcrkd])(?=[\s{\\]))\s*"
    r"(?:\{\s*\\?(?P<braced>[A-Za-z])\s*\}|\\?(?P<bare>[A-Za-z]))(?(1)\})"
)
LETTER = re.compile(
    r"\{\\(ss|ae|AE|oe|OE|aa|AA|[oOlLij])\}|\\(ss|ae|AE|oe|OE|aa|AA|[oOlLij])(?![A-Za-z])(?:\{\}|\s)?"
)
SUFFIX = re.compile(r"(?:Jr|Sr)\.?|[IV]{2,4}")
DIVIDER = re.compile(
    r"\s*[,;]\s*(?:and\s+|&\s+)?|\s+and\s+|\s+&\s+|(?<=[Cc]ollaboration)\s*:\s*|(?<=[Tt]eam)\s*:\s*"
)


def untex(text: str) -> str:
    """Return text with TeX's accents and letters as letters; mathematics and other commands stay
    as they are."""
    if "\\" not in text:
        return text
    text = ACCENT.sub(_accented, text)
    return LETTER.sub(lambda match: LETTERS[match[1] or match[2]], text)


def _accented(match: re.Match[str]) -> str:
    letter = match["braced"] or match["bare"]
    return unicodedata.normalize("NFC", letter + COMBINING[match["sign"] or match["name"]])


def parse_authors(line: str) -> list[str]:
    """Return the authors that a line names, without affiliations, each with its suffix."""
    line = untex(_without_brackets(line)).replace("~", " ")
    names: list[str] = []
    for part in DIVIDER.split(line):
        name = " ".join(part.split()).strip(" ,;:")
        if names and SUFFIX.fullmatch(name):
            names[-1] += f" {name}"
        elif name:
            names.append(name)
    return names


def _without_brackets(line: str) -> str:
    """Return a line without what stands in round brackets, nested ones included."""
    kept, depth = [], 0
    for mark in line:
        depth += mark == "("
        if not depth:
            kept.append(mark)
        depth -= mark == ")" and depth > 0
    return "".join(kept)
