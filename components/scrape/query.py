"""Words as a person types them, matched here, so that every source gives the same papers for the
same question.

    language models            both words, in any order
    "language model" OR LLM    a phrase, or a word
    agents NOT (chess OR go)   without papers that hold what follows
    transform*                 words that begin so

Upper and lower case, accents and a plural's s make no difference. Words that say nothing, such
as "of", count only within a phrase."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

# Lucene's English stop words: what arXiv's own search leaves out; its API finds nothing for a
# clause of one of them.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for if in into is it no not of on or such "
        "that the their then there these they this to was will with",
    )
)
TOKEN = re.compile(
    r'(?P<mark>[()])|(?P<operator>ANDNOT|AND|OR|NOT)(?=[\s()"]|$)'
    r'|"(?P<phrase>[^"]*)"?|(?P<term>[^\s()"]+)'
)
WORD = re.compile(r"\w+")
PLURAL = re.compile(r"(?<=\w\w[^\Wsiu])s$")


def stems(text: str) -> str:
    """Return the words of a text with a blank before and after each: lower case, without accents
    and plurals."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(mark for mark in bare if not unicodedata.combining(mark))
    return f" {' '.join(map(_stem, WORD.findall(letters)))} "


def _stem(word: str) -> str:
    return PLURAL.sub("", word)


def _plain(word: str) -> bool:
    """Tell whether a server is sure to find a word wherever we do."""
    return word.isascii() and len(word) > 1 and word not in STOP_WORDS


@dataclass(frozen=True)
class Phrase:
    """Words in a row; the last one may be the beginning of a word."""

    text: str  # as `stems` returns it, without the last blank where a word only begins so
    words: tuple[str, ...]  # as typed, in lower case

    def holds(self, stemmed: str) -> bool:
        """Tell whether a text, as `stems` returns it, holds the phrase."""
        return self.text in stemmed

    def broad(self, clause: Callable[[str], str]) -> str:
        """Return clauses that every matching paper meets on a server that stems and stops words
        its own way."""
        return " AND ".join(clause(word) for word in self.words if _plain(word))


@dataclass(frozen=True)
class Not:
    """Anything but."""

    part: "Node"

    def holds(self, stemmed: str) -> bool:
        """Tell whether a text is without it."""
        return not self.part.holds(stemmed)

    def broad(self, clause: Callable[[str], str]) -> str:
        """Return nothing: what a server leaves out may be too much."""
        return ""


@dataclass(frozen=True)
class Every:
    """All of its parts, or with `one` at least one of them."""

    parts: tuple["Node", ...]
    one: bool = False

    def holds(self, stemmed: str) -> bool:
        """Tell whether a text holds them."""
        held = (part.holds(stemmed) for part in self.parts)
        return any(held) if self.one else all(held)

    def broad(self, clause: Callable[[str], str]) -> str:
        """Return clauses for a server, none where one of several ways to match has none."""
        clauses = [part.broad(clause) for part in self.parts]
        if self.one:
            return f"({' OR '.join(clauses)})" if all(clauses) else ""
        return " AND ".join(filter(None, clauses))


Node = Phrase | Not | Every
ANYTHING = Every(())


def parse(text: str) -> Node:
    """Return what a question asks for; `*` is anything. Brackets and operators without a meaning
    are ignored."""
    if text.strip() == "*":
        return ANYTHING
    tokens = list(TOKEN.finditer(text))[::-1]
    parts = []
    while tokens:
        parts.append(_alternatives(tokens))
        if tokens:
            tokens.pop()  # a bracket that closes nothing
    found = _join(parts)
    return found if found != ANYTHING else _join(_phrases(text))


def _alternatives(tokens: list[re.Match[str]]) -> Node:
    """Take alternatives off the end of the tokens, up to the bracket that closes them."""
    ways = [_conjunction(tokens)]
    while tokens and tokens[-1]["operator"] == "OR":
        tokens.pop()
        ways.append(_conjunction(tokens))
    ways = [way for way in ways if way != ANYTHING]
    return Every(tuple(ways), one=True) if len(ways) > 1 else _join(ways)


def _conjunction(tokens: list[re.Match[str]]) -> Node:
    parts: list[Node] = []
    negated = False
    while tokens and tokens[-1]["mark"] != ")" and tokens[-1]["operator"] != "OR":
        token = tokens.pop()
        if token["operator"]:
            negated = token["operator"] != "AND"
            continue
        part = _part(token, tokens)
        if part != ANYTHING:
            parts.append(Not(part) if negated else part)
        negated = False
    return _join(parts)


def _part(token: re.Match[str], tokens: list[re.Match[str]]) -> Node:
    if token["mark"]:
        part = _alternatives(tokens)
        if tokens:
            tokens.pop()
        return part
    if token["phrase"] is not None:
        return _join(_phrases(token["phrase"]))
    return _join(_phrases(token["term"], stop=STOP_WORDS))


def _phrases(text: str, stop: frozenset[str] = frozenset()) -> list[Node]:
    words = WORD.findall(text.casefold())
    begins = text.rstrip().endswith("*")
    if not words or (not begins and len(words) == 1 and words[0] in stop):
        return []
    if begins:  # not stemmed: "class*" is more than "clas"
        stemmed = stems(" ".join(words[:-1]) + " x")[:-2] + words.pop()
        return [Phrase(stemmed, tuple(words))]
    return [Phrase(stems(text), tuple(words))]


def _join(parts: list[Node]) -> Node:
    parts = [part for part in parts if part != ANYTHING]
    return parts[0] if len(parts) == 1 else Every(tuple(parts))
