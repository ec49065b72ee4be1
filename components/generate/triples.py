"""Read a teacher's answer: JSON as asked for, or the labelled text that models fall back to."""

import json
import re
from typing import Any

from components.generate.teacher import Draft

_FIELDS = ("instruction", "input", "output")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_LABEL = re.compile(r"^[\s>*_#\-\d.)]*(instruction|input|output)[\s*_]*:[\s*_]*", re.IGNORECASE | re.MULTILINE)
_HEADING = re.compile(r"^[\s*_#]*(?:triple|example|task)?\s*#?\d+[\s*_:.)]*$", re.IGNORECASE | re.MULTILINE)


def parse(answer: str) -> list[Draft] | None:
    """Return the drafts in an answer, or None when it is neither JSON nor labelled text.

    An explicit empty list is no failure: the teacher found nothing to ask about.
    """
    rows = _from_json(answer)
    return _from_labels(answer) if rows is None else [_draft(row) for row in rows]


def _from_json(answer: str) -> list[dict[str, Any]] | None:
    fenced = _FENCE.search(answer)
    try:
        value = json.loads(fenced.group(1) if fenced else answer)
    except ValueError:
        return None
    if isinstance(value, dict):
        lower = {str(key).lower(): item for key, item in value.items()}
        value = lower.get("triples", [value] if set(_FIELDS) & lower.keys() else None)
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        return None
    return [{str(key).lower(): item for key, item in row.items()} for row in value]


def _from_labels(answer: str) -> list[Draft] | None:
    found = list(_LABEL.finditer(answer))
    rows: list[dict[str, str]] = []
    for label, following in zip(found, [*found[1:], None], strict=False):
        name = label.group(1).lower()
        if name == "instruction" or not rows or name in rows[-1]:
            rows.append({})
        end = following.start() if following else len(answer)
        rows[-1][name] = _unquote(_HEADING.sub("", answer[label.end() : end]).strip())
    return [_draft(row) for row in rows] or None


def _draft(row: dict[str, Any]) -> Draft:
    instruction, input, output = (str(row.get(name) or "").strip() for name in _FIELDS)
    kind = str(row.get("kind") or "teacher's own")
    return Draft(instruction=instruction, input=input, output=output, kind=kind)


def _unquote(text: str) -> str:
    """Drop the quotation marks that models put around a whole field of labelled text."""
    quoted = len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("“", "”"))
    return text[1:-1].strip() if quoted and text[0] not in text[1:-1] else text
