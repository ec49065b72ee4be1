"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), fast, over two tokenizers.

`unicode` decides: letters of every script, numbers and mathematical symbols count. `rouge-score` is
that library's own, with the Porter stemmer: it keeps [a-z0-9] only, so that `α β γ` against itself
scores 0, and it is there to compare with published figures. Under it every score equals
rouge-score's.

The longest common subsequence is found bit-parallel (Crochemore et al., "A fast and practical
bit-vector algorithm for the longest common subsequence problem", 2001): a row of the table is one
big integer, so a token costs a few operations on some hundred bits instead of a loop over the other
text.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

METRICS = ("rouge1", "rouge2", "rougeL")
PRIMARY = "rougeL"  # the one that decides

Tokenize = Callable[[str], list[str]]

_ROUGE_SCORE_TOKEN = re.compile(r"[a-z0-9]+")
# One token each: a decimal or version number, a character of a script that puts no blanks between
# words, a word with the marks on its letters (vowel signs of many scripts are marks), a
# mathematical symbol.
_UNICODE_TOKEN = regex.compile(
    r"\d+(?:\.\d+)+|[\p{Han}\p{Hiragana}\p{Katakana}]"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}])[\p{L}\p{N}]\p{M}*)+|\p{Sm}"
)


@dataclass(frozen=True)
class Score:
    """Precision, recall and F measure of one metric, each 0 to 1."""

    precision: float
    recall: float
    fmeasure: float


def rouge_score_tokens(text: str) -> list[str]:
    """Return the tokens of rouge-score's default tokenizer with its stemmer."""
    return [_stem(token) for token in _ROUGE_SCORE_TOKEN.findall(text.lower())]


def unicode_tokens(text: str) -> list[str]:
    """Return lower-case words of any script, stemmed where they are plain English, numbers and
    mathematical symbols.

    Compatibility forms are unified first: 𝛼 is α, the ligature ﬁ is fi, x² is x2.
    """
    tokens = []
    for token in _UNICODE_TOKEN.findall(unicodedata.normalize("NFKC", text).lower()):
        is_english = token.isascii() and token.isalnum()
        tokens.append(_stem(token) if is_english else token)
    return tokens


TOKENIZERS: Mapping[str, Tokenize] = {"unicode": unicode_tokens, "rouge-score": rouge_score_tokens}


def score(reference: str, answer: str, tokenize: Tokenize = unicode_tokens) -> dict[str, Score]:
    """Return the score of each metric."""
    wanted, found = tokenize(reference), tokenize(answer)
    return {
        "rouge1": _overlap(wanted, found),
        "rouge2": _overlap(list(pairwise(wanted)), list(pairwise(found))),
        "rougeL": _score(lcs_length(wanted, found), len(wanted), len(found)),
    }


def _overlap(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> Score:
    common = Counter(wanted) & Counter(found)
    return _score(common.total(), len(wanted), len(found))


def _score(common: int, wanted: int, found: int) -> Score:
    if not common:
        return Score(0.0, 0.0, 0.0)
    precision, recall = common / found, common / wanted
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two token lists."""
    if len(first) < len(second):
        first, second = second, first  # the loop runs over the shorter one
    places: dict[str, int] = {}
    for number, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << number
    everywhere = row = (1 << len(first)) - 1  # a bit is 0 where a match has been counted
    for token in second:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & everywhere
    return len(first) - row.bit_count()


@functools.lru_cache(maxsize=200_000)
def _stem(token: str) -> str:
    """Stem a word as rouge-score does: Porter's algorithm, from four letters on."""
    return _stemmer()(token) if len(token) > 3 else token


@functools.cache
def _stemmer() -> Callable[[str], str]:
    from nltk.stem.porter import PorterStemmer

    stem: Callable[[str], str] = PorterStemmer().stem
    return stem
