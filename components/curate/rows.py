"""What a stranger's row means: a triple, whose texts have names or form a conversation."""

import json
import re
from collections.abc import Mapping
from typing import Any

from components.shared.licences import model_licence, terms
from components.shared.records import Source, Triple, digest
from components.shared.text import clean_line, finite

MAX_CHARACTERS = 100_000  # of a field; a longer one is no task but a file in the wrong place
MAX_NUMBER = 1e9  # of a version, a page or an offset
FIELDS = ("instruction", "input", "output")
CONVERSATIONS = ("messages", "conversations", "conversation")
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
KINDS = {list: "a list", dict: "an object", bytes: "bytes", str: "text", type(None): "null"}
TRIPLES = "instruction, input and output by name"
TURNS = "conversations: last question as instruction, its answer as output, earlier turns as input"
EXAMPLES = "examples of curate, the completion as output"
# Marks of chat templates, which a tokenizer would take for its own: never text to learn from.
_MARK = (
    r"</?s>|<[|\uff5c][^<>|\uff5c\n]{2,30}[|\uff5c]>"
    r"|<(?:bos|eos|pad|unk|(?:start|end)_of_turn)>|\[/?INST\]|<</?SYS>>"
)
_MARKS = re.compile(_MARK)
_AT_START = re.compile(rf"(?:\s|{_MARK})++")
_AT_END = re.compile(rf"(?:{_MARK})\Z")
_LONGEST_MARK = 40
_SURROGATE = re.compile("[\ud800-\udfff]")
_ARXIV = re.compile(
    r"(?:arxiv:|https?://arxiv\.org/(?:abs|pdf)/)?"
    r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v(\d{1,4}))?",
    re.I,
)


def fields_of(row: object, paper_column: str = "") -> tuple[dict[str, Any], str]:
    """Return a row's fields, its three texts checked, and the shape in which it told them.

    Raise ValueError, naming what was found, for a row that is no triple.
    """
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"not an object with names but {_kind(row)}")
    values, shape = _by_our_names(row)
    if paper_column:
        values["paper"] = values.get(paper_column)
    if values["input"] is None:
        values["input"] = ""
    for name in FIELDS:
        _text(name, values[name])
    return values, shape


def triple_of(values: Mapping[str, Any], own_teacher: str) -> Triple:
    """Return the triple of a row's fields; raise ValueError where one of them is wrong."""
    paper, version = split_id(_line("paper", values.get("paper")))
    version = _whole("version", values.get("version")) or version
    # A row on page 0 rests on no page we know, so that its grounding cannot be judged.
    page = _whole("page", values.get("page"))
    teacher = _line("teacher", values.get("teacher")) or own_teacher
    licence = _line("teacher_licence", values.get("teacher_licence"))
    identity = values.get("id")
    if isinstance(identity, bool) or not isinstance(identity, int | str):
        identity = ""
    texts = [values[name] for name in FIELDS]
    return Triple(
        id=_line("id", str(identity)) or digest([paper, version, page, *texts])[:16],
        kind=_line("kind", values.get("kind")) or "own",
        paper=paper,
        version=version,
        page=page,
        evidence=_spans(values.get("evidence")),
        grounding=_number("grounding", values.get("grounding")),
        teacher=teacher,
        teacher_licence=terms(licence) if licence else model_licence(teacher),
        prompt_hash=_line("prompt_hash", values.get("prompt_hash")),
        instruction=values["instruction"],
        input=values["input"],
        output=values["output"],
    )


def source_of(values: Mapping[str, Any], paper: str, version: int) -> Source | None:
    """Return what a row tells of its paper, or None where it tells no licence."""
    if not paper or not isinstance(values.get("licence"), str):
        return None
    listed = values.get("authors")
    if not isinstance(listed, list):
        listed = [listed]
    authors = [_line("authors", author) for author in listed if isinstance(author, str)]
    told: dict[str, Any] = dict.fromkeys(("licence", "title", "submitted"), "")
    for name in told:
        if isinstance(values.get(name), str):
            told[name] = _line(name, values[name])
    return Source(paper=paper, version=version, authors=authors, **told)


def split_id(paper: str) -> tuple[str, int]:
    """Return (id, version) of an arXiv id in any usual form; another name stays, in version 0."""
    if found := _ARXIV.fullmatch(paper.strip()):
        return found[1], int(found[2] or 0)
    return paper.strip(), 0


def without_marks(text: str) -> str:
    """Return text without the marks of a chat template at its ends."""
    if not _MARKS.search(text):
        return text
    if found := _AT_START.match(text):
        text = text[found.end() :]
    while found := _AT_END.search(text := text.rstrip(), max(0, len(text) - _LONGEST_MARK)):
        text = text[: found.start()]
    return text


def _by_our_names(row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    values: dict[str, Any] = {}
    for name, value in row.items():
        bare = str(name).strip()
        values.setdefault(bare.lower() if bare.lower() in FIELDS else bare, value)
    lacking = [name for name in FIELDS if name not in values]
    if not lacking:
        if all(isinstance(values[name], list | dict) for name in FIELDS):
            raise ValueError(f"holds columns, not a row: {_described(row)}")
        return values, TRIPLES
    for name in CONVERSATIONS:
        if values.get(name):
            return values | _last_exchange(values[name]), TURNS
    if lacking == ["output"] and isinstance(values.get("completion"), str):
        return values | {"output": values["completion"], "id": values.get("triple")}, EXAMPLES
    raise ValueError(f"lacks {', '.join(lacking)}; it has {_described(row)}")


def _described(row: Mapping[str, Any]) -> str:
    """Return the names of a row, and what to write where it holds rows, fields or columns."""
    names = ", ".join(str(name)[:40] for name in list(row)[:8]) or "no fields"
    advice = ""
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return f"{names}: write the list of rows itself, not under '{str(name)[:40]}'"
        if isinstance(value, list | dict):
            advice = ": write rows, not columns"
        if isinstance(value, dict) and len(row) == 1:
            advice = f": write the fields themselves, not under '{str(name)[:40]}'"
    return names + advice


def _last_exchange(turns: object) -> dict[str, str]:
    """Return the last question and answer of a conversation; raise ValueError for none."""
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError):
            raise ValueError("its conversation is text") from None
    if not isinstance(turns, list):
        raise ValueError("its conversation is no list")
    told = [turn for turn in map(_turn, turns) if turn[0] != "system"]
    while told and told[-1][0] == "user":  # nobody answered it
        told.pop()
    if len(told) < 2 or told[-2][0] != "user":
        raise ValueError("its conversation does not end in a question and its answer")
    *earlier, (_, question), (_, answer) = told
    before = "\n".join(f"{role.capitalize()}: {text}" for role, text in earlier)
    return {"instruction": question, "input": before, "output": answer}


def _turn(turn: object) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise ValueError("a turn of its conversation is no object")
    role = turn.get("role", turn.get("from"))
    text = turn.get("content", turn.get("value", turn.get("text")))
    if isinstance(text, list):  # of parts, as OpenAI's protocol has them
        parts, text = text, ""
        for part in parts:
            if isinstance(part, dict) and part.get("type") == "text":
                text += str(part.get("text", ""))
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"a turn of its conversation is by {str(role)[:40]!r}")
    if not isinstance(text, str):
        raise ValueError("a turn of its conversation is not text")
    return ROLES[role.lower()], text


def _text(name: str, value: object) -> str:
    """Return the text of a field; raise ValueError where it is none, or no task any more."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text but {_kind(value)}")
    if len(value) > MAX_CHARACTERS:
        raise ValueError(f"{name} is longer than {MAX_CHARACTERS:,} characters")
    if _SURROGATE.search(value):
        raise ValueError(f"{name} is not UTF-8")
    return value


def _kind(value: object) -> str:
    return KINDS.get(type(value), "a number")


def _line(name: str, value: object) -> str:
    """Return the one line of a field that may be missing."""
    return "" if _is_missing(value) else clean_line(_text(name, value))


def _number(name: str, value: object) -> float:
    """Return a finite number; 0 for one that is missing, NaN or infinite: it is not known."""
    if _is_missing(value):
        return 0.0
    number = finite(value, 0, MAX_NUMBER)
    if number is None:
        raise ValueError(f"{name} is not a number from 0 to {MAX_NUMBER:,.0f}")
    return number


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ValueError(f"{name} is not a whole number")
    return int(number)


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and finite(value) is None)


def _spans(value: object) -> list[list[int]]:
    if not isinstance(value, list):
        return []
    spans = []
    for span in value:
        if not isinstance(span, list) or len(span) != 2:
            raise ValueError("evidence is not a list of [start, end]")
        spans.append([_whole("evidence", span[0]), _whole("evidence", span[1])])
    return spans
