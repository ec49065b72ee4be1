"""Check without a language model whether an answer is borne out by the passage that it rests on.

Three things give an invention away, and each is looked for by itself:

    a number or a name that the passage does not hold           "reaches 14.2", "on Larder"
    a number or a name that it holds in another place           "12.8 to 12.6" for "12.6 to 12.8"
    a sentence whose words are hardly those of the passage      from another paper, or from nowhere

The first two make the score 0. Otherwise it is the share of content words that the passage knows,
of the sentence that is borne out worst, so that one invented sentence is not hidden by three good
ones.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

GROUNDED = 0.5  # the score from which on an answer counts as grounded
REACH = 6  # words on each side that make up the surroundings of a number or a name
MARGIN = (
    0.18  # by how much the surroundings of another number or name must fit better to call it a swap
)

MAX_CHECKS = 4000  # pairs of a number or name and its rivals; a sound answer has a few hundred

_TOKEN = re.compile(
    r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+(?:[-'’][^\W_]+)*(?:-\d+)*|[%‰]"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’)\]]*\s+(?=[\"“(\[]?[A-Z0-9])")
_COMMAND = re.compile(r"\\[a-zA-Z]+(?:\{[0-3]\})*")  # LaTeX says how a formula looks: no word of it
_SUFFIX = re.compile(r"(?:'s|’s|ingly|edly|ing|ies|ied|ed|es|s|ly|er|al|e|y)$")
_WORDS = re.compile(r"\w+")
_UNITS = _WORDS.findall(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
_TENS = _WORDS.findall("thirty forty fifty sixty seventy eighty ninety hundred")
NUMBERS = {word: str(value) for value, word in enumerate(_UNITS)}
NUMBERS |= {word: str(value) for value, word in zip(range(30, 110, 10), _TENS, strict=True)}
COUNTS = {
    "0",
    "1",
    "2",
    "3",
}  # written as words these mostly count what a sentence lists: no figure of the passage
_STOP = frozenset(
    _WORDS.findall(
        "a about above after again against all also although an and any are as at be because been "
        "before being below between both but by can could did do does doing down during each "
        "either else even every few first for from further had has have having he hence her here "
        "his how however if in into is it its itself just like made make makes many may me might "
        "more most much must my near no nor not now of off on once only onto or other our out "
        "over own per rather same she should since so some still such than that the their them "
        "then there therefore these they this those though through thus to too under until up "
        "upon us use used uses using very via was we were what when where whereas whether which "
        "while who whom whose why will with within without would yet you"
    )
)


class Token(NamedTuple):
    """One word or number of a text."""

    text: str  # as it stands
    key: str  # what it is compared by: the number's value, or the stem
    kind: str  # "number", "name", "word" or "small": a function word


class Grounding(NamedTuple):
    """How well an answer is borne out, 0 to 1, and what speaks against it ("" when nothing
    does)."""

    score: float
    problem: str


def grounding(output: str, evidence: str) -> Grounding:
    """Return how well `evidence` bears out `output`; an output without words scores 0."""
    if not _plain(output):
        return Grounding(0.0, "the output is empty")
    if f" {_plain(output)} " in f" {_plain(evidence)} ":
        return Grounding(1.0, "")
    known = _Evidence(_COMMAND.sub(" ", evidence))
    worst = 1.0
    for sentence in sentences(_COMMAND.sub(" ", output)):
        tokens = known.tokens_of(sentence)
        if problem := known.stranger(tokens) or known.swap(tokens):
            return Grounding(0.0, problem)
        worst = min(worst, known.share(tokens))
    return Grounding(
        round(worst, 4), "" if worst >= GROUNDED else "its words are hardly those of the passage"
    )


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text."""
    yield from filter(str.strip, _SENTENCE_END.split(text))


class _Evidence:
    """The passage, made ready to be asked about many sentences."""

    def __init__(self, text: str) -> None:
        self.names = {token.lower() for token in _names(text)}
        self.sentences = [self.tokens_of(sentence) for sentence in sentences(text)]
        self.places: dict[str, list[tuple[list[Token], int]]] = {}  # key -> sentence and place
        self.rivals: dict[str, dict[str, str]] = {"name": {}, "number": {}}  # key -> text
        for tokens in self.sentences:
            for at, token in enumerate(tokens):
                self.places.setdefault(token.key, []).append((tokens, at))
                if token.kind in self.rivals:
                    self.rivals[token.kind][token.key] = token.text
        self.keys = set(self.places)
        self._checks = 0
        self.parts = {
            part for token in _TOKEN.findall(text.lower()) for part in re.split(r"[-'’]", token)
        }
        self.parts |= {_stem(part) for part in self.parts}
        self.initials = "".join(part[0] for part in re.findall(r"\w+", text.lower()))

    def tokens_of(self, sentence: str) -> list[Token]:
        own_names = {name.lower() for name in _names(sentence)}
        return [_token(text, self.names | own_names) for text in _TOKEN.findall(sentence)]

    def stranger(self, tokens: list[Token]) -> str:
        """Return what is wrong when a number or a name does not stand in the passage."""
        for token in tokens:
            if token.key in self.keys or (
                token.kind == "number" and token.text.isalpha() and token.key in COUNTS
            ):
                continue
            if token.kind == "number":
                return f"the number {token.text} does not stand in the passage"
            if token.kind == "name" and not self._knows_name(token.text):
                return f"the name {token.text} does not stand in the passage"
        return ""

    def _knows_name(self, name: str) -> bool:
        parts = re.split(r"[-'’]", name.lower())
        acronym = name.isupper() and len(name) > 1 and name.lower() in self.initials
        return acronym or all(part in self.parts or _stem(part) in self.parts for part in parts)

    def swap(self, tokens: list[Token]) -> str:
        """Return what is wrong when another number or name of the passage fits much better."""
        passive = any(token.text.lower() == "by" for token in tokens)
        for place, token in enumerate(tokens):
            if token.kind not in ("number", "name") or (token.kind == "name" and passive):
                continue
            own = self._fit(tokens, place, token.key, token.key)
            if own is None or own == 1.0:  # nothing fits better than a quotation
                continue
            self._checks += len(self.rivals[token.kind])
            if self._checks > MAX_CHECKS:
                return "it holds more numbers and names than can be compared"
            for key, text in self.rivals[token.kind].items():
                if key != token.key:
                    own_without = self._fit(tokens, place, token.key, key) or 0.0
                    theirs = self._fit(tokens, place, key, token.key) or 0.0
                    if theirs > own_without + MARGIN:
                        return f"{token.text} stands where the passage has {text}"
        return ""

    def _fit(self, tokens: list[Token], place: int, key: str, other: str) -> float | None:
        """Return how alike the surroundings of `place` and of `key` in the passage are, 0 to 1;
        None if it is absent.

        `key` and `other` themselves are no part of the surroundings: in a swap they have changed
        places.
        """
        asked = _surroundings(tokens, place, {key, other})
        total = sum(asked.values()) or 1.0
        found: float | None = None
        for line, at in self.places.get(key, ()):
            there = _surroundings(line, at, {key, other})
            alike = sum(min(weight, there.get(feature, 0.0)) for feature, weight in asked.items())
            found = max(found or 0.0, alike / total)
        return found

    def share(self, tokens: list[Token]) -> float:
        """Return the share of a sentence's content words that the passage knows."""
        content = [token for token in tokens if token.kind != "small"]
        known = sum(token.key in self.keys or token.key in self.parts for token in content)
        return known / len(content) if content else 1.0


def _surroundings(
    tokens: list[Token], place: int, without: set[str]
) -> dict[tuple[str, str], float]:
    """Return the words around a place by side and weight; near ones weigh more."""
    found: dict[tuple[str, str], float] = {}
    for side, step in (("before", -1), ("after", 1)):
        for distance in range(1, REACH + 1):
            at = place + step * distance
            if not 0 <= at < len(tokens):
                break
            token = tokens[at]
            if token.key in without or (token.kind == "small" and distance > 1):
                continue
            for feature, weight in (((side, token.key), 1.0), (("near", token.key), 0.5)):
                if feature[0] == side or token.kind != "small":
                    found[feature] = max(found.get(feature, 0.0), weight / distance)
    return found


def _token(text: str, names: set[str]) -> Token:
    lower = text.lower()
    if text[0].isdigit():
        return Token(text, _value(text), "number")
    if lower in NUMBERS:
        return Token(text, NUMBERS[lower], "number")
    if lower in names:
        return Token(text, _stem(lower), "name")
    if text in "%‰" or lower in ("percent", "per"):
        return Token(text, "%", "small")
    return Token(text, _stem(lower), "small" if lower in _STOP or len(lower) < 3 else "word")


def _names(text: str) -> Iterator[str]:
    """Yield the words that are names, by their capital letters and digits."""
    for sentence in sentences(text):
        for number, found in enumerate(_TOKEN.finditer(sentence)):
            word = found.group()
            if word.lower() in _STOP or not word[0].isalpha():
                continue
            if any(c.isupper() or c.isdigit() for c in word[1:]) or (
                word[0].isupper() and number and len(word) > 1
            ):
                yield word


def _value(text: str) -> str:
    plain = text.replace(",", "")
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain.lstrip("0")) or "0"


@lru_cache(65_536)
def _stem(word: str) -> str:
    """Cut a word to what its forms share: common endings off, at most six letters."""
    for _ in range(2):
        cut = _SUFFIX.sub("", word)
        if len(cut) < 3:
            break
        word = cut
    return word[:6]


def _plain(text: str) -> str:
    return " ".join(_TOKEN.findall(text)).casefold()
