"""Make text and numbers from outside safe, once, where they enter.

Sites, teachers, models and stores send whatever they like: half of a surrogate pair, an escape
sequence that rewrites the operator's terminal, a number that is none. What has passed here can be
stored, shown and computed with. Every function takes linear time.
"""

import codecs
import math
import re

codecs.lookup("utf-16-le")  # loaded now: a program that gives its rights away may not find it later
# Escape sequences (ECMA-48): CSI, strings such as OSC (to their end or the line's), short ones.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]?"
)
_LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# What no reader sees: controls, soft hyphens, zero widths, changes of direction, and tags, which
# spell in secret.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?"
)
_ESCAPED_SIGNS = {ord(sign): f"\\{sign}" for sign in "\\`*_[]<>|#!&"}


def clean(text: str) -> str:
    """Return text without what could harm its reader, in lines that end in a line feed.

    Halves of surrogate pairs become U+FFFD; escape sequences, controls and invisible characters go.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _UNSEEN.sub("", _LINE_END.sub("\n", _ESCAPE.sub("", text)))


def clean_line(text: str) -> str:
    """Return clean text on one line: every run of white space becomes one blank."""
    return " ".join(clean(text).split())


def escaped(text: str) -> str:
    """Return a text on one line in which Markdown and HTML see no markup."""
    return clean_line(text).translate(_ESCAPED_SIGNS)


def finite(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """Return a number, or an ASCII text that writes one, as a float from low to high.

    None for all else, NaN and infinity among it.
    """
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip(" \t")) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and low <= number <= high else None
