"""What a stranger's row means: instruction, input and output by name, or a conversation."""

import json
import re
from collections.abc import Mapping
from typing import Any

FIELDS = ("instruction", "input", "output")
CONVERSATIONS = ("messages", "conversations", "conversation")
ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
TRIPLES = "instruction, input and output by name"
TURNS = "conversations: last question as instruction, its answer as output, earlier turns as input"
EXAMPLES = "examples of curate, the completion as output"
# Marks of chat templates, which a tokenizer would take for its own: never text to learn from.
_MARK = (
    r"</?s>|<[|\uff5c][^<>|\uff5c\n]{2,30}[|\uff5c]>"
    r"|<(?:bos|eos|pad|unk|(?:start|end)_of_turn)>|\[/?INST\]|<</?SYS>>"
)
_AT_START = re.compile(rf"(?:\s|{_MARK})++")
_AT_END = re.compile(rf"(?:{_MARK})\Z")
_LONGEST_MARK = 40
_MARKS = re.compile(_MARK)


def fields_of(row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the row with its three fields under their names, and the shape in which it told them.

    Raise ValueError, naming the fields found, where it tells none.
    """
    values: dict[str, Any] = {}
    for name, value in row.items():
        bare = str(name).strip()
        values.setdefault(bare.lower() if bare.lower() in FIELDS else bare, value)
    if all(isinstance(values.get(name), list | dict) for name in FIELDS):
        raise ValueError(f"holds columns, not a row: {_described(row)}")
    if lacking := [name for name in FIELDS if name not in values]:
        for name in CONVERSATIONS:
            if values.get(name):
                return values | _last_exchange(values[name]), TURNS
        if lacking == ["output"] and isinstance(values.get("completion"), str):
            values |= {"output": values["completion"], "id": values.get("triple")}
            return values, EXAMPLES
        raise ValueError(f"lacks {', '.join(lacking)}; it has {_described(row)}")
    return values, TRIPLES


def without_marks(text: str) -> str:
    """Return text without the marks of a chat template at its ends."""
    if not _MARKS.search(text):
        return text
    if found := _AT_START.match(text):
        text = text[found.end() :]
    while found := _AT_END.search(text := text.rstrip(), max(0, len(text) - _LONGEST_MARK)):
        text = text[: found.start()]
    return text


def _described(row: Mapping[str, Any]) -> str:
    """Return the names of a row, and what a row with lists or objects in them probably is."""
    names = ", ".join(str(name)[:40] for name in list(row)[:8]) or "no fields"
    lists = [name for name, value in row.items() if isinstance(value, list | dict)]
    of_objects = [
        name for name in lists if isinstance(row[name], list) and _holds_object(row[name])
    ]
    if of_objects:
        return f"{names}: write the list of rows itself, not under '{str(of_objects[0])[:40]}'"
    if len(row) == 1 and isinstance(row[lists[0]] if lists else None, dict):
        return f"{names}: write the fields themselves, not under '{str(lists[0])[:40]}'"
    if lists:
        return f"{names}: write rows, not columns"
    return names


def _holds_object(values: list[Any]) -> bool:
    return any(isinstance(value, dict) for value in values[:1])


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
    if [role for role, _ in told[-2:]] != ["user", "assistant"]:
        raise ValueError("its conversation does not end in a question and its answer")
    earlier = [f"{role.capitalize()}: {text}" for role, text in told[:-2]]
    return {"instruction": told[-2][1], "input": "\n".join(earlier), "output": told[-1][1]}


def _turn(turn: object) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise ValueError("a turn of its conversation is no object")
    role = turn.get("role", turn.get("from"))
    text = turn.get("content", turn.get("value", turn.get("text")))
    if isinstance(text, list):  # of parts, as OpenAI's protocol has them
        parts = [part for part in text if isinstance(part, dict) and part.get("type") == "text"]
        text = "".join(str(part.get("text", "")) for part in parts)
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise ValueError(f"a turn of its conversation is by {str(role)[:40]!r}")
    if not isinstance(text, str):
        raise ValueError("a turn of its conversation is not text")
    return ROLES[role.lower()], text
