"""Read a teacher's answer, in whatever shape models give it: JSON, XML, a table, or labelled text.

shapes.py writes the shapes that are read back without loss. An answer that holds no triple is None, never an empty
success; an explicit empty list is told apart from it. A triple that the end of the answer cuts short comes back with an
empty output, so that it becomes a reject rather than half an answer.
"""

import ast
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from components.generate.teacher import Draft

FIELDS = ("instruction", "input", "output")
NAMES = {
    "instruction": "instruction instructions instruct intruction instrucion instuction task question query prompt",
    "input": "input inputs imput inupt context passage source excerpt text",
    "output": "output outputs ouput outupt response answer result completion",
}
FIELD = {spelling: field for field, spellings in NAMES.items() for spelling in spellings.split()}
_SPELLING = "|".join(
    sorted(
        (*FIELD, "expected output", "sample input", "input text", "source text"),
        key=len,
        reverse=True,
    )
)
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_LABEL = re.compile(
    rf"""^[ \t]*(?P<mark>(?:[>*_#•\-]|\(?\d+[.):]|[a-c][.)])[ \t*_]*)*  # bullets, numbers, heading and bold marks
    \[?(?P<name>{_SPELLING})\]?[ \t]*(?:\#?\d+|\(\d+\))?                 # the name, perhaps numbered
    (?:[ \t]*[*_]{{0,2}}[ \t]*[:：=][ \t]*[*_]{{0,2}}(?=\s|["“'\w\W])   # a colon, in or out of the bold
      |[ \t]*[*_]{{0,2}}[ \t]+[-–—][ \t]+                               # or a dash
      |[ \t]*[*_]{{0,2}}[ \t]*(?=\n|\Z))""",  # or nothing more: a heading, checked below
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_HEADING = re.compile(
    r"[\s*_#>]*(?:(?:(?:triple|triplet|example|task|item|pair|set|sample|entry)\b[\s#]*\d*|\#?\d+[.):]|\#\d+)[\s*_:.)]*"
    r"|[-=*_]{3,}\s*)",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"(?:i hope|let me know|these (?:triples|examples|tasks)|feel free|note that these)\b",
    re.IGNORECASE,
)
_PAIR = re.compile(r'"(\w[\w ]*)"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_TAG = re.compile(
    rf"<(?P<name>{_SPELLING})>(?P<text>.*?)(?:</(?P=name)>|\Z)", re.IGNORECASE | re.DOTALL
)
_QUOTES = {'"': '"', "“": "”"}
Row = dict[str, str]


def parse(answer: str, *, cut: bool = False) -> list[Draft] | None:
    """Return the drafts in an answer, or None when it holds none; `cut` tells that its end is missing."""
    text = _THOUGHTS.sub("", answer.replace("\r\n", "\n")).strip().removeprefix("\ufeff")
    for read in (_from_json, _from_tags, _from_table, _from_literal):
        rows = read(text)
        if rows is not None:
            return [_draft(row) for row in rows]
    rows = _from_labels(text)
    if rows and cut:
        last = next(reversed(rows[-1]))
        rows[-1][last] = ""
    return [_draft(row) for row in rows] or None


def _from_json(text: str) -> list[Row] | None:
    """Read every JSON value in the text; of one that breaks off, what is whole of it."""
    decoder = json.JSONDecoder(strict=False)
    rows: list[Row] = []
    empty = False
    at = 0
    while found := re.compile(r"[{\[]").search(text, at):
        try:
            value, at = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.start() + 1
            rows += _broken(text[found.start() : _next_object(text, at)])
        else:
            empty = empty or value == [] or (isinstance(value, dict) and [] in value.values())
            rows += _rows(value)
    return rows or ([] if empty else None)


def _next_object(text: str, at: int) -> int:
    found = text.find("{", at)
    return len(text) if found < 0 else found


def _broken(text: str) -> list[Row]:
    """Return the row of an object without its end, as far as its strings are whole."""
    pairs = {_field(name): json.loads(value, strict=False) for name, value in _PAIR.findall(text)}
    row = {name: value for name, value in pairs.items() if name in FIELDS}
    return [row] if "instruction" in row or len(row) > 1 else []


def _rows(value: Any) -> Iterator[Row]:
    """Yield the rows in a JSON value, however deep they are."""
    if isinstance(value, list):
        for item in value:
            yield from _rows(item)
    elif isinstance(value, dict):
        groups: dict[str, Row] = {}
        for name, item in value.items():
            if (field := _field(name)) in FIELDS and not isinstance(item, dict):
                number = "".join(re.findall(r"\d", str(name)))
                groups.setdefault(number, {}).setdefault(field, _text(item))
        whole = [row for row in groups.values() if len(row) > 1 or "instruction" in row]
        if whole:
            yield from (
                {**row, "kind": str(value["kind"])} if value.get("kind") else row for row in whole
            )
        else:
            for item in value.values():
                yield from _rows(item)


def _field(name: object) -> str:
    """Return the field that a name means, or the name in small letters without numbers."""
    words = re.sub(r"[^a-z]+", " ", str(name).lower()).split()
    return next((FIELD[word] for word in reversed(words) if word in FIELD), " ".join(words))


def _text(item: Any) -> str:
    if isinstance(item, list):
        return "\n".join(map(_text, item))
    return (
        ""
        if item is None
        else item
        if isinstance(item, str)
        else json.dumps(item, ensure_ascii=False)
    )


def _from_tags(text: str) -> list[Row] | None:
    rows: list[Row] = []
    for found in _TAG.finditer(text):
        whole = found.group().rstrip().endswith(">") and "</" in found.group()
        _add(rows, _field(found["name"]), unescape(found["text"]).strip() if whole else "")
    return rows or None


def _from_table(text: str) -> list[Row] | None:
    """Read a markdown table whose head names the fields."""
    lines = [
        re.split(r"(?<!\\)\|", line.strip().strip("|"))
        for line in text.splitlines()
        if line.strip().startswith("|")
    ]
    if len(lines) < 3:
        return None
    names = [_field(re.sub(r"[*_]", "", cell)) for cell in lines[0]]
    if not {"instruction", "output"} <= set(names):
        return None
    breaks = re.compile(r"<br\s*/?>", re.IGNORECASE)
    table = (
        [breaks.sub("\n", cell).replace(r"\|", "|").strip() for cell in line] for line in lines[2:]
    )
    return [dict(zip(names, cells, strict=False)) for cells in table] or None


def _from_literal(text: str) -> list[Row] | None:
    """Read Python's own notation, which some models write for JSON."""
    start, end = re.search(r"[\[{]", text), max(text.rfind("]"), text.rfind("}"))
    if not start or end < start.start() or "'" not in text:
        return None
    try:
        return list(_rows(ast.literal_eval(text[start.start() : end + 1]))) or None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _from_labels(text: str) -> list[Row]:
    labels = [found for found in _LABEL.finditer(text) if _is_label(found)]
    rows: list[Row] = []
    for label, following in zip(labels, [*labels[1:], None], strict=False):
        field = _field(label["name"])
        piece = text[label.end() : following.start() if following else len(text)]
        _add(rows, field, _without_heading(piece, last=following is None))
    rows = [row for row in rows if "instruction" in row or len(row) > 1]
    curly = all(
        _quoted(row[name], "“") for row in rows for name in ("input", "output") if row.get(name)
    )
    return [
        {name: _unquote(value, '"“' if curly else '"') for name, value in row.items()}
        for row in rows
    ]


def _is_label(found: re.Match[str]) -> bool:
    """Tell a label from a line that begins with such a word: without a colon it must be marked, or all there is."""
    if found.group().rstrip(" \t*_")[-1:] in ":：=-–—":
        return True
    return (
        bool(found["mark"])
        or "*" in found.group()
        or FIELD.get(found["name"].lower()) in FIELDS[:1]
    )


def _add(rows: list[Row], field: str, value: str) -> None:
    """Put a field into the last row, or into a new one where the last has it already or an instruction begins."""
    if not rows or field in rows[-1] or (field == "instruction" and rows[-1]):
        rows.append({})
    rows[-1][field] = value


def _without_heading(piece: str, *, last: bool) -> str:
    """Return a field's text without the heading of the next triple, or a farewell, at its end."""
    lines = piece.strip().split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or _HEADING.fullmatch(lines[-1].strip())):
        lines.pop()
    if last and len(lines) > 2 and not lines[-2].strip() and _FAREWELL.match(lines[-1]):
        lines = lines[:-2]
    return "\n".join(lines).strip().removesuffix("```").rstrip()


def _draft(row: Row) -> Draft:
    instruction, input, output = (row.get(name, "").strip() for name in FIELDS)
    return Draft(instruction, input, output, **({"kind": row["kind"]} if row.get("kind") else {}))


def _quoted(text: str, mark: str) -> bool:
    return len(text) > 1 and text[0] == mark and text[-1] == _QUOTES[mark]


def _unquote(text: str, marks: str) -> str:
    """Drop the quotation marks that models put around a whole field of labelled text."""
    return text[1:-1].strip() if any(_quoted(text, mark) for mark in marks) else text
