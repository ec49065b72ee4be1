"""Repair the text of a page; every repair is counted by its kind."""

import re
import unicodedata
from collections import Counter

LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_LIGATURE = re.compile("|".join(LIGATURES))
_HYPHEN_BREAK = re.compile(r"(?<=[a-z])-[ \t]*\n[ \t]*(?=[a-z])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060\ufeff\ufffd\ud800-\udfff]")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")


def repair(text: str) -> tuple[str, Counter[str]]:
    """Return the repaired text and how often each repair was made."""
    counts: Counter[str] = Counter()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, counts["ligatures"] = _LIGATURE.subn(lambda found: LIGATURES[found.group()], text)
    text, counts["control characters"] = _CONTROL.subn("", text)
    text, counts["hyphen breaks"] = _HYPHEN_BREAK.subn("", text)
    lines = [_SPACES.sub(" ", line).strip() for line in unicodedata.normalize("NFC", text).split("\n")]
    return "\n".join(line for line in lines if line), +counts
