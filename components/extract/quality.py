"""Score how readable extracted text is: broken encodings and scans score low."""

import re

_READABLE = re.compile(
    r"[\"'(\[]*(?:[^\W\d_]{2,}(?:['’\-–][^\W\d_]+)*|[aAI]|\d[\d.,]*%?)[\"')\],.;:!?]*"
)
MIN_CHARACTERS = 200  # a paper with less text than a short abstract has nothing to ask about


def readable_share(text: str) -> float:
    """Return the share of words that are letters only or a number, 0 to 1; 0 for less than 200 characters."""
    if len(text) < MIN_CHARACTERS:
        return 0.0
    words = text.split()
    return round(sum(1 for word in words if _READABLE.fullmatch(word)) / len(words), 4)
