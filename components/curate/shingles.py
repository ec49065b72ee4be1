"""Texts as arrays of hashed word n-grams: what duplicates and leaks are found by.

A text's words are its runs of letters and digits, in lower case; the same text has the same hashes everywhere.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]

BLOCK = (
    1 << 14
)  # characters hashed at once: small enough that its arrays are reused, not mapped anew each time
_WORD = re.compile(r"[^\W_]+")
_SEPARATOR = "\x1e"  # ASCII's record separator: no letter
_ASCII = np.array([chr(code).isalnum() for code in range(128)])
_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, as splitmix64 uses it
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Shingles:
    """The n-grams of many texts, end to end: text i has hashes[starts[i] : starts[i + 1]], in the text's order."""

    hashes: Hashes
    starts: npt.NDArray[np.int64]

    def of(self, text: int) -> Hashes:
        """Return the hashes of one text."""
        return self.hashes[self.starts[text] : self.starts[text + 1]]

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """Return for each hash the number of its text."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def words(text: str) -> list[str]:
    """Return the words of one text as strings."""
    return _WORD.findall((text if text.isascii() else unicodedata.normalize("NFKC", text)).lower())


def shingle(texts: Iterable[str], n: int, *, keep_short: bool = False) -> Shingles:
    """Return the n-grams of texts; one shorter than n words has none, or itself as its only one with `keep_short`."""
    parts = [_grams(*_hash_block(block), n, keep_short) for block in _blocks(texts)]
    hashes, counts = _joined(parts)
    return Shingles(hashes, np.concatenate(([0], np.cumsum(counts))).astype(np.int64))


def _grams(hashes: Hashes, lengths: Lengths, n: int, keep_short: bool) -> tuple[Hashes, Lengths]:
    """Return the hashed n-grams of texts given by their words, end to end, and how many each text has."""
    ends = np.cumsum(lengths)
    grams = np.zeros_like(hashes)
    for offset in range(min(n, len(hashes))):
        following = len(hashes) - offset
        grams[:following] = grams[:following] * _PRIME + hashes[offset:]
    whole = np.arange(len(hashes)) + n <= np.repeat(ends, lengths)
    for length in range(1, n) if keep_short else ():
        firsts = (ends - lengths)[lengths == length]
        whole[firsts] = True
        grams[firsts] = 0
        for offset in range(length):
            grams[firsts] = grams[firsts] * _PRIME + hashes[firsts + offset]
    return mix(grams[whole]), np.bincount(
        np.repeat(np.arange(len(lengths)), lengths)[whole], minlength=len(lengths)
    )


def unique_pairs(hashes: Hashes, owners: Lengths) -> tuple[Hashes, Lengths]:
    """Return each (hash, owner) once, sorted by hash and then owner."""
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    return hashes[fresh], owners[fresh]


def mix(hashes: Hashes) -> Hashes:
    """Return well-mixed hashes: the finalizer of splitmix64 (Steele, Lea and Flood, 2014)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))


def hash_words(texts: Iterable[str]) -> tuple[Hashes, Lengths]:
    """Return the hashed words of all texts, end to end, and how many each text has."""
    return _joined([_hash_block(block) for block in _blocks(texts)])


def _joined(parts: list[tuple[Hashes, Lengths]]) -> tuple[Hashes, Lengths]:
    parts = parts or [(np.zeros(0, np.uint64), np.zeros(0, np.int64))]
    return np.concatenate([hashes for hashes, _ in parts]), np.concatenate(
        [lengths for _, lengths in parts]
    )


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of about BLOCK characters."""
    block: list[str] = []
    size = 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _hash_block(texts: list[str]) -> tuple[Hashes, Lengths]:
    """Hash the words of some texts at once: a word's hash is the polynomial of its characters' codes, well mixed.

    The polynomials of all prefixes are one cumulative sum, so that a word's is a difference times a power (Karp and
    Rabin, 1987); everything is modulo 2**64, where an odd base has an inverse.
    """
    joined = _SEPARATOR.join(text.replace(_SEPARATOR, " ") for text in texts)
    if joined.isascii():
        codes: Codes = np.frombuffer(joined.lower().encode("ascii"), np.uint8)
    else:
        normal = unicodedata.normalize("NFKC", joined).lower()
        codes = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), np.uint32)
    edges = np.flatnonzero(np.diff(_in_words(codes), prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    prefixes = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * _powers(int(_PRIME), len(codes)), out=prefixes[1:])
    inverse = _powers(pow(int(_PRIME), -1, 2**64), len(codes) + 1)
    hashes = mix((prefixes[ends] - prefixes[starts]) * inverse[starts])
    text_of = np.searchsorted(np.flatnonzero(codes == ord(_SEPARATOR)), starts)
    return hashes, np.bincount(text_of, minlength=len(texts)).astype(np.int64)


def _in_words(codes: Codes) -> npt.NDArray[np.bool_]:
    """Tell for each character whether it belongs to a word."""
    if codes.dtype == np.uint8:
        return _ASCII[codes]
    table = np.zeros(int(codes.max(initial=0)) + 1, np.bool_)
    table[[code for code in np.unique(codes).tolist() if chr(code).isalnum()]] = True
    return table[codes]


@lru_cache(maxsize=8)
def _powers_of(base: int, length: int) -> Hashes:
    return np.cumprod(
        np.concatenate((np.ones(1, np.uint64), np.full(length - 1, base, np.uint64))),
        dtype=np.uint64,
    )


def _powers(base: int, length: int) -> Hashes:
    """Return base**0, base**1, ... modulo 2**64."""
    return _powers_of(base, 1 << (length + 1).bit_length())[:length]
