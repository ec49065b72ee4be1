"""Score how readable extracted text is: broken encodings, ciphers and scans score low."""

import re
from collections import Counter

_READABLE = re.compile(
    r"[\"'(\[]{0,3}(?:[^\W\d_]{2,40}(?:['’\-–][^\W\d_]{1,40}){0,9}|[aAI]|\d[\d.,]{0,20}%?)"
    r"[\"')\],.;:!?]{0,5}"
)
_LATIN = re.compile(r"[A-Za-z]{2,}")
MIN_CHARACTERS = 200  # a paper with less text than a short abstract has nothing to ask about
MIN_WORDS = 60  # in which one that every text needs must come up
COMMON = 0.04  # share of words that are common in one language; English prose has 25 to 40%
DISTINCT = 4  # such words; a cipher turns one or two into others by chance
# The most frequent words of English, German, French, Spanish, Portuguese, Italian and Dutch.
_LANGUAGES = """
the of and to in is for that we with on as by are this from be an at or it not can our
der die und das den von zu mit ist ein im auf nicht eine als auch es werden wir
le la les des et en du une est que dans pour par sur nous au sont
el la los las del de que en por con una para se es un como
de do da em um uma que os as para com por se no na
il di che la per non un una con in del della sono si da
de het een van in is dat op te en zijn met voor niet
"""
_COMMON = [frozenset(line.split()) for line in _LANGUAGES.strip().splitlines()]


def readable_share(text: str) -> float:
    """Return the share of words that are letters only or a number, 0 to 1.

    0 for less than 200 characters, and for a text of Latin letters in which no common word occurs:
    its letters are others than they look.
    """
    if len(text) < MIN_CHARACTERS:
        return 0.0
    words = text.split()
    if not words or _is_cipher(text):
        return 0.0
    return round(sum(1 for word in words if _READABLE.fullmatch(word)) / len(words), 4)


def _is_cipher(text: str) -> bool:
    words = _LATIN.findall(text.lower())
    if len(words) < MIN_WORDS:
        return False
    return not any(_is_written_in(language, Counter(words)) for language in _COMMON)


def _is_written_in(language: frozenset[str], counts: Counter[str]) -> bool:
    common = [counts[word] for word in language if word in counts]
    return len(common) >= DISTINCT and sum(common) >= COMMON * counts.total()
