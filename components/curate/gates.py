"""The gates that a triple passes, in order, and the tests of its quality."""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

from components.curate.config import CurateConfig
from components.curate.ngrams import hashes, words
from components.shared.records import Triple

_TRIVIAL = re.compile(
    r"n a|na|none|null|nil|nan|unknown|yes|no|true|false|todo|tbd|ok|output|answer|response"
    r"|see above|same as above"
    r"|not (?:specified|mentioned|available|applicable|provided)|no (?:answer|information)"
)
# A teacher that refuses, or talks about itself or its task, at the start of an answer or in a
# whole sentence of it.
_META_START = re.compile(
    r"\W*(?:i(?:['’]m| am) (?:sorry|unable|not able)|sorry\b|i apologi[sz]e"
    r"|i (?:can['’]?t|cannot|can not|won['’]t)\b|i (?:don['’]t|do not) (?:have|know)\b"
    r"|unfortunately,? (?:i|the (?:text|passage|context|input))\b|as an ai\b"
    r"|(?:sure|certainly|of course|absolutely)[,!:]"
    r"|here(?: is|['’]s| are) (?:the|a|an|my|your|some|three) )",
    re.IGNORECASE,
)
_META = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.]{0,30}?,? i\b"
    r"|\bi(?:['’]m| am) (?:just |only )?an? (?:ai|(?:large )?language model)\b"
    r"|\bthe (?:provided |given |above )?(?:text|passage|context|input|excerpt) "
    r"(?:does not|doesn['’]t) "
    r"(?:provide|mention|specify|contain|state|say|include|give|explain|describe)\b"
    r"|\bi hope this helps\b|\blet me know if\b",
    re.IGNORECASE,
)
# What is left of a prompt: its labels at the start of a line, or a placeholder that nobody filled
# in.
_PROMPT = re.compile(
    r"^\W*(?:instruction|input|output|response|(?:generated )?triples?(?: \d+)?|example \d+)"
    r"\W{0,3}:"
    r"|[\[<](?:insert|provide|your|add) [^\]>]{0,80}[\]>]"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|<\|(?:im_(?:start|end)|(?:start|end)_header_id|eot_id)\|>",
    re.IGNORECASE | re.MULTILINE,
)
_EMAIL = re.compile(
    r"[\w.+-]+\}?\s?(?:@|\(at\)|\[at\])\s?[\w-]{2,}(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE
)
# International with its country code, or in the groups of three and four of North America. Plain
# runs of digits are not taken for numbers of phones: papers are full of them.
_PHONE = re.compile(
    r"(?<![\w.])\+\d{1,3}[\s.-]?(?:\(\d{1,4}\)[\s.-]?)?(?:\d[\s.-]?){7,12}(?!\w)"
    r"|(?<![\w.-])(?:\(\d{3}\)\s?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w.-]*\d)"
)
# Words that make the grammar of a language; those that English has too are left out of the others.
_ENGLISH = frozenset(
    words("the of and to in is a that for with on as are by this be from we it an at which or not")
)
_OTHERS = [
    frozenset(words(text))
    for text in (
        "el la los las de que en una por con para es del al como más pero sus esta este se lo",
        "le les des du est une dans que pour qui sur pas avec sont au aux ce cette nous par et la",
        "der die das und ist nicht von den mit ein eine einer für auf dem im zu werden wird "
        "sich auch",
        "o os as do da em um uma para com não que dos das ao é são na no mais",
        "il lo gli di che è per una con non del della sono nel alla anche più le",
        "het een van en niet op voor met zijn dat te wordt de worden ook deze",
        "och det att en som för på är av inte med den till ett",
        "i w na z do że się nie jest to oraz dla od przez jako",
    )
]
_TOKEN = re.compile(r"\w+|[^\w\s]")
_NOT_LATIN = re.compile("[^\0-\u024f\u0370-\u03ff]")  # the Greek is that of formulas
EXAMPLE_GRAM = 8
EXAMPLES = Path(__file__).with_name("prompt_examples.txt")


class Gate(StrEnum):
    """Every gate in the order in which a row meets them.

    The value is the reason under which rejects are counted; reading and licence say more.
    """

    MALFORMED = "malformed"
    BOUND = "older than what corpus_rows and test_papers let in"
    LICENCE = "licence"
    EMPTY = "instruction is empty"
    TRIVIAL = "output is empty or trivial"
    COPIED = "output equals the input or the instruction"
    SHORT = "too short"
    LONG = "too long"
    META = "refusal or talk about itself"
    PROMPT = "prompt leaked into the data"
    PERSONAL = "personal data"
    FOREIGN = "not in English"
    UNGROUNDED = "output not grounded in its evidence"
    EXAMPLE = "example of a prompt, not of a paper"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near duplicate"
    EMBARGO = "in the embargo between train and test"
    UNDATED = "no date to split by"
    RELATIVE = "nearly the same as an older paper of the other side"
    LEAK = "shares 8-grams with train"
    HELD_OUT = "of a fact that is held out to see whether it is learned"
    SURPLUS = "more than test_rows and test_rows_per_paper let in"


def fault(config: CurateConfig, triple: Triple) -> Gate | None:
    """Return the first quality gate that a triple does not pass, or None."""
    return next(_faults(config, triple), None)


def _faults(config: CurateConfig, triple: Triple) -> Iterator[Gate]:
    """Yield the quality gates that stop a triple, in their order; each is tried when asked for."""
    asked, given, answer = words(triple.instruction), words(triple.input), words(triple.output)
    if not asked:
        yield Gate.EMPTY
    if not answer or _TRIVIAL.fullmatch(" ".join(answer)):
        yield Gate.TRIVIAL
    if answer in (given, asked):
        yield Gate.COPIED
    length = triple_tokens(triple)
    if length < config.min_tokens:
        yield Gate.SHORT
    if length > config.max_tokens:
        yield Gate.LONG
    if _is_meta(triple):
        yield Gate.META
    # The input is a page's own text, where an algorithm may well say "Input:".
    if _PROMPT.search(triple.instruction) or _PROMPT.search(triple.output):
        yield Gate.PROMPT
    if _is_personal(f"{triple.instruction}\n{triple.input}\n{triple.output}"):
        yield Gate.PERSONAL
    if _is_foreign(triple.output) or _is_foreign(f"{triple.instruction} {triple.input}"):
        yield Gate.FOREIGN
    # Without evidence on a known page there is nothing to judge by; what is no number is no score.
    known = triple.page > 0 and triple.evidence
    if known and not triple.grounding >= config.min_grounding:
        yield Gate.UNGROUNDED
    # An example that prompts in use show to their teacher, known by the hashes of its 8-grams, so
    # that nobody's sentences are shipped.
    if not _examples().isdisjoint(hashes(f"{triple.input} {triple.output}", EXAMPLE_GRAM)):
        yield Gate.EXAMPLE


def tokens(text: str) -> int:
    """Return about how many tokens a text has: its words and marks, or a fourth of its bytes.

    No tokenizer is at hand here; finetune counts with the base model's own and drops what is too
    long for it.
    """
    return max(len(_TOKEN.findall(text)), len(text.encode("utf-8", "replace")) // 4)


def triple_tokens(triple: Triple) -> int:
    """Return about how many tokens instruction, input and output have together."""
    return tokens(triple.instruction) + tokens(triple.input) + tokens(triple.output)


def _is_meta(triple: Triple) -> bool:
    """What stands in the input too is a quotation: papers about language models quote refusals."""
    given = triple.input.lower()
    for found in (_META_START.match(triple.output), *_META.finditer(triple.output)):
        if found and found.group().strip().lower() not in given:
            return True
    return False


def _is_personal(text: str) -> bool:
    mail = ("@" in text or "at]" in text or "at)" in text) and _EMAIL.search(text)
    return bool(mail or _PHONE.search(text))


def _is_foreign(text: str) -> bool:
    """Tell whether a text is not English: another script, or another language's small words.

    Names, formulas and invented words say nothing, so that a text without small words passes.
    """
    letters = "".join(filter(str.isalpha, text))
    if 2 * len(_NOT_LATIN.findall(letters)) > len(letters):
        return True
    found = words(text)
    english = _count(found, _ENGLISH)
    other = max(_count(found, language) for language in _OTHERS)
    return other >= 3 and other > 2 * english


def _count(found: list[str], vocabulary: frozenset[str]) -> int:
    return sum(map(vocabulary.__contains__, found))


@cache
def _examples() -> frozenset[int]:
    return frozenset(int(line, 16) for line in EXAMPLES.read_text("ascii").split())
