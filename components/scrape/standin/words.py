"""How words are matched, alike for the search pages and the API: after arXiv's analyzers and its
two grammars."""

import re
from collections.abc import Callable
from functools import lru_cache

from components.scrape.query import STOP_WORDS
from components.scrape.standin.corpus import Entry

Test = Callable[[Entry], bool]
FIELDS = {"ti": "title", "abs": "abstract", "au": "author", "co": "comments", "all": "all"}
TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()])|(?P<word>ANDNOT|AND NOT|AND|OR|NOT)(?![\w:])"
    r'|(?:(?P<field>\w+):)?(?:\[(?P<low>\d+) TO (?P<high>\d+)\]|"(?P<phrase>[^"]*)"'
    r"|(?P<term>[^\s()]+)))"
)


class BadQueryError(Exception):
    """A question that cannot be read."""


@lru_cache(maxsize=200_000)
def stems(text: str) -> tuple[str, ...]:
    """Return the words of a text that the index holds: lower case, without a plural's s, a
    stemmer's commonest effect. It holds no stop words: a clause of one alone matches nothing."""
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]
    return tuple(re.sub(r"(?<=\w{2}[^\Ws])s$", "", word) for word in words)


def holds(entry: Entry, field: str, phrase: tuple[str, ...]) -> bool:
    """Tell whether stems occur in a row in a field of a paper, or anywhere for the field "all"."""
    texts = {
        "title": entry.title,
        "abstract": entry.abstract,
        "author": " ; ".join(entry.authors),
        "comments": entry.comments,
    }
    held = stems(" ; ".join(texts.values()) if field == "all" else texts.get(field, ""))
    starts = range(len(held) - len(phrase) + 1)
    return bool(phrase) and any(held[at : at + len(phrase)] == phrase for at in starts)


def words_test(text: str, field: str) -> Test:
    """Return the test that the search form's words stand for: a blank is AND, stop words are
    left out."""
    kept = [token for token in tokens_of(text) if not _is_stop(token)]
    return expression(kept, lambda token: _word_test(token, field)) if kept else lambda entry: True


def _is_stop(token: re.Match[str]) -> bool:
    text = token["phrase"] or token["term"]
    return bool(text) and not stems(text)


def _word_test(token: re.Match[str], field: str) -> Test:
    wanted = stems(token["phrase"] or token[0])
    return lambda entry: holds(entry, field, wanted)


def tokens_of(text: str) -> list[re.Match[str]]:
    """Return the tokens of a question; raise BadQueryError."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise BadQueryError(f"cannot read {text[at:]!r}")
        tokens.append(match)
        at = match.end()
    return tokens


def expression(tokens: list[re.Match[str]], clause: Callable[[re.Match[str]], Test]) -> Test:
    """Return the test of a whole question; `clause` makes one of a single token; raise
    BadQueryError."""
    left = list(tokens)
    test = _either(left, clause)
    if left:
        raise BadQueryError(f"cannot read {left[0][0]!r}")
    return test


def _either(tokens: list[re.Match[str]], clause: Callable[[re.Match[str]], Test]) -> Test:
    test = _both(tokens, clause)
    while tokens and tokens[0]["word"] == "OR":
        del tokens[0]
        test = _join("OR", test, _both(tokens, clause))
    return test


def _both(tokens: list[re.Match[str]], clause: Callable[[re.Match[str]], Test]) -> Test:
    test = _one(tokens, clause)
    while tokens and tokens[0]["word"] != "OR" and tokens[0]["mark"] != ")":
        word = tokens.pop(0)["word"] if tokens[0]["word"] else "AND"
        test = _join(word, test, _one(tokens, clause))
    return test


def _one(tokens: list[re.Match[str]], clause: Callable[[re.Match[str]], Test]) -> Test:
    if not tokens or tokens[0]["word"] or tokens[0]["mark"] == ")":
        raise BadQueryError("a clause is missing")
    token = tokens.pop(0)
    if token["mark"] == "(":
        test = _either(tokens, clause)
        if not tokens or tokens.pop(0)["mark"] != ")":
            raise BadQueryError("a bracket is not closed")
        return test
    return clause(token)


def _join(word: str, left: Test, right: Test) -> Test:
    if word == "OR":
        return lambda entry: left(entry) or right(entry)
    return lambda entry: left(entry) and right(entry) == (word == "AND")
