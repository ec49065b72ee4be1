"""The gates that a triple passes, in order, and the tests of its quality."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from pathlib import Path

from components.curate.config import CurateConfig
from components.curate.language import is_foreign
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
    SURPLUS = "more than test_rows and test_rows_per_paper let in"


def fault(config: CurateConfig, triple: Triple) -> Gate | None:
    """Return the first quality gate that a triple does not pass, or None."""
    return next((gate for gate, stops in QUALITY.items() if stops(config, triple)), None)


def _is_trivial(config: CurateConfig, triple: Triple) -> bool:
    found = words(triple.output)
    return not found or bool(_TRIVIAL.fullmatch(" ".join(found)))


def _is_copied(config: CurateConfig, triple: Triple) -> bool:
    output = words(triple.output)
    return output in (words(triple.input), words(triple.instruction))


def _is_ungrounded(config: CurateConfig, triple: Triple) -> bool:
    """A triple without evidence on a known page has nothing to be judged against."""
    known = triple.page > 0 and triple.evidence
    return bool(known) and not triple.grounding >= config.min_grounding  # not a number is no score


def _is_meta(config: CurateConfig, triple: Triple) -> bool:
    """What stands in the input too is a quotation: papers about language models quote refusals."""
    found = [_META_START.match(triple.output), *_META.finditer(triple.output)]
    return any(
        match and match.group().strip().lower() not in triple.input.lower() for match in found
    )


def _has_prompt(config: CurateConfig, triple: Triple) -> bool:
    """The input is a page's own text, where an algorithm may well say "Input:"."""
    return bool(_PROMPT.search(triple.instruction) or _PROMPT.search(triple.output))


def _is_personal(config: CurateConfig, triple: Triple) -> bool:
    text = f"{triple.instruction}\n{triple.input}\n{triple.output}"
    mail = ("@" in text or "at]" in text or "at)" in text) and _EMAIL.search(text)
    return bool(mail or _PHONE.search(text))


def _is_foreign(config: CurateConfig, triple: Triple) -> bool:
    return is_foreign(triple.output) or is_foreign(f"{triple.instruction} {triple.input}")


def tokens(text: str) -> int:
    """Return about how many tokens a text has: its words and marks, or a fourth of its bytes.

    No tokenizer is at hand here; finetune counts with the base model's own and drops what is too
    long for it.
    """
    return max(len(re.findall(r"\w+|[^\w\s]", text)), len(text.encode("utf-8", "replace")) // 4)


def triple_tokens(triple: Triple) -> int:
    """Return about how many tokens instruction, input and output have together."""
    return tokens(triple.instruction) + tokens(triple.input) + tokens(triple.output)


QUALITY: dict[Gate, Callable[[CurateConfig, Triple], bool]] = {
    Gate.EMPTY: lambda config, triple: not words(triple.instruction),
    Gate.TRIVIAL: _is_trivial,
    Gate.COPIED: _is_copied,
    Gate.SHORT: lambda config, triple: triple_tokens(triple) < config.min_tokens,
    Gate.LONG: lambda config, triple: triple_tokens(triple) > config.max_tokens,
    Gate.META: _is_meta,
    Gate.PROMPT: _has_prompt,
    Gate.PERSONAL: _is_personal,
    Gate.FOREIGN: _is_foreign,
    Gate.UNGROUNDED: _is_ungrounded,
    Gate.EXAMPLE: lambda config, triple: repeats_an_example(triple),
}


def repeats_an_example(triple: Triple) -> bool:
    """Tell whether a triple repeats an example that prompts in use show to their teacher.

    The examples are known by the hashes of their 8-grams, so that nobody's sentences are shipped.
    """
    found = hashes(f"{triple.input} {triple.output}", EXAMPLE_GRAM)
    return not _examples().isdisjoint(found)


@cache
def _examples() -> frozenset[int]:
    return frozenset(int(line, 16) for line in EXAMPLES.read_text("ascii").split())
