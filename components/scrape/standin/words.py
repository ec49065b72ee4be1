"""How words are matched, alike for the search pages and the API."""

import re
from functools import lru_cache

from components.scrape.standin.corpus import Entry

Wanted = tuple[tuple[str, ...], ...]  # phrases of one or more stems, all of which must occur


def parse_words(text: str) -> Wanted:
    """Return the words and "quoted phrases" of a text."""
    parts = (stems(phrase or word) for phrase, word in re.findall(r'"([^"]+)"|(\S+)', text))
    return tuple(part for part in parts if part)


@lru_cache(maxsize=200_000)
def stems(text: str) -> tuple[str, ...]:
    """Return the words of a text, lower case and without a plural's s: a stemmer's commonest effect."""
    words = re.findall(r"\w+", text.lower())
    return tuple(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words
    )


def holds(entry: Entry, field: str, wanted: Wanted) -> bool:
    """Tell whether all that is wanted occurs in a field of a paper, or anywhere for the field "all"."""
    texts = {
        "title": entry.title,
        "abstract": entry.abstract,
        "author": " ; ".join(entry.authors),
        "comments": entry.comments,
    }
    held = stems(" ; ".join(texts.values()) if field == "all" else texts.get(field, ""))
    return all(_occurs(phrase, held) for phrase in wanted)


def _occurs(phrase: tuple[str, ...], held: tuple[str, ...]) -> bool:
    if len(phrase) == 1:
        return phrase[0] in held
    return any(held[at : at + len(phrase)] == phrase for at in range(len(held) - len(phrase) + 1))
