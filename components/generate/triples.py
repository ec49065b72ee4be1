"""Read a teacher's answer: JSON, whole or damaged, or labelled text. Linear in its length.

An answer that holds no task is None, never an empty success; an explicit empty list is told apart
from it. Half a value never counts for a whole one: what the end cuts off, or what cannot be told
from damage, comes back empty, so that it becomes a reject. LaTeX survives where a model forgot to
escape it.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain, islice

from components.generate.teacher import Draft
from components.shared.records import CLOSED, OPEN
from components.shared.text import clean, clean_line

FIELDS = ("instruction", "input", "output")
NAMES = {
    "instruction": "instruction instructions intruction instuction task question query prompt",
    "input": "input inputs imput context passage source excerpt text",
    "output": "output outputs ouput response answer result completion",
}
FIELD = {spelling: field for field, spellings in NAMES.items() for spelling in spellings.split()}
REPAIRABLE = 60_000  # characters of damaged JSON; repairing takes longer than reading
BRACKETS = 400  # in damaged JSON at most: three tasks have eight
MAX_ROWS = 51  # tasks of one answer that are looked at
DEPTH = 12  # of lists and objects around a task
QUOTES = ("'", '"')
YAML_BLOCKS = ("|", "|-", "|+", ">", ">-", ">+")
CUT = "\ue0c7\ue0c8"  # put behind damaged JSON: whatever value holds it was cut off by the end

_TAGS = r"think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis"
_REASONING_STARTS = re.compile(rf"[<\[◁](?:{_TAGS})[>\]▷]|<\|channel\|>\s?analysis", re.IGNORECASE)
_REASONING_ENDS = re.compile(
    rf"[<\[◁]/(?:{_TAGS})[>\]▷]|<\|channel\|>\s?final\s?<\|message\|>", re.IGNORECASE
)

_ESCAPES = frozenset('bfnrt"')
_ESCAPE = re.compile(r"(?:\\\\)++|\\u[0-9a-fA-F]{4}|\\([a-zA-Z]+|.)", re.DOTALL)
# LaTeX whose first letter makes a line feed or a tab of its backslash; any word after \b, \f and \r
# is LaTeX.
_LATEX = frozenset(
    re.findall(
        r"\w+",
        "nabla napprox natural ncong ne nearrow neg neq nequiv newcommand newline nexists ngeq "
        "ngeqq ngeqslant ngtr ni nleftarrow nLeftarrow nleftrightarrow nleq nleqq nleqslant nless "
        "nmid nobreak nolimits nonumber normalfont normalsize not notin nparallel nprec "
        "nrightarrow nRightarrow nshortmid nsim nsubset nsubseteq nsucc nsupset nsupseteq nu "
        "nvdash nVdash nvDash nwarrow tag tan tanh tau tbinom text textbf textcolor textit textmd "
        "textnormal textrm textsc textsf textsl textstyle textsubscript textsuperscript texttt "
        "textup tfrac therefore theta thickapprox thicksim thinspace tilde times tiny to top "
        "toprule tr triangle triangledown triangleleft trianglelefteq triangleq triangleright "
        "trianglerighteq tt twoheadrightarrow rm rVert rBrace",
    )
)
_LINE_STARTS = frozenset(("ne", "neq", "ni", "nu"))  # may also be a line feed and e, eq, i or u

_END_OF_VALUE = re.compile(r"""["']\s*+(?:,?\s*+["']?\w++["']?\s*+:|,?\s*+[}\]])""")
_LABEL = re.compile(
    rf"(?P<mark>[\s>*_#•\-\d.()\[]*+)(?P<name>{'|'.join(sorted(FIELD, key=len, reverse=True))})"
    r"\b[\]\s\d#()]*+[*_]*+\s*+(?P<colon>[:：]?)[*_]*+(?P<text>.*)",
    re.IGNORECASE | re.DOTALL,
)
_HEADING = re.compile(
    r"(?:triple|triplet|example|task|item|pair|sample|entry)?[\s#]{0,3}\d{0,4}", re.IGNORECASE
)
_FAREWELL = re.compile(
    r"(?:i hope|let me know|these (?:triples|tasks)|feel free|notes?:|please)", re.IGNORECASE
)
_JSON = json.JSONDecoder(strict=False, parse_constant=lambda name: None)  # NaN is no value
Row = dict[str, str]


def parse(answer: str, *, cut: bool = False) -> list[Draft] | None:
    """Return the drafts in an answer, or None when it holds none; `cut` if its end is missing."""
    text = clean(answer).strip()
    try:
        if text[-1:] not in ("}", "]", '"'):
            raise ValueError("no JSON alone")
        values: list[object] = [_JSON.decode(_escaped(text))]
        rows = list(islice(_rows(values[0]), MAX_ROWS))
    except (ValueError, RecursionError):
        kept = _without_reasoning(text)
        cut = cut or not text.endswith(kept)
        text = kept
        values, rows = _from_json(_escaped(text))
    if not rows and not any(map(_lists_nothing, values)):
        rows = _from_labels(text, cut)
        if not rows:
            return None
    return [_draft(row) for row in rows]


def _lists_nothing(value: object) -> bool:
    return value == [] or (isinstance(value, dict) and [] in value.values())


def _without_reasoning(text: str) -> str:
    """Return what stands between the last end of a reasoning block and the next start."""
    answer_from = 0
    for end in _REASONING_ENDS.finditer(text):
        answer_from = end.end()
    text = text[answer_from:]
    start = _REASONING_STARTS.search(text)
    return text[: start.start()].rstrip() if start else text.strip()


def _escaped(text: str) -> str:
    r"""Return JSON with LaTeX's lone backslashes doubled: \frac is no form feed."""
    return _ESCAPE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    word = found[1]
    if word is None or word in "'/":
        return word or found[0]
    if word in _ESCAPES:
        return found[0]
    latex = word[0] not in "bfnrt" or (word in _LATEX and not _starts_line(found))
    if word not in _LATEX:  # a form feed, a backspace or a carriage return within a word is none
        latex = latex or (word[0] in "bf" and word[1].islower())
        latex = latex or (word[0] == "r" and len(word) > 2 and word[1:3].islower())
    return "\\" + found[0] if latex else found[0]


def _starts_line(found: re.Match[str]) -> bool:
    """Tell whether a line feed makes more sense here than LaTeX."""
    if found[1] not in _LINE_STARTS:
        return False
    before = found.string[max(found.start() - 1, 0) : found.start()]
    return before in '.:;!?"' or found.string[found.end() : found.end() + 1] in ("", ".", ")", ":")


def _from_json(text: str) -> tuple[list[object], list[Row]]:
    """Return the JSON values in a text, the last one repaired if need be, and their rows."""
    values: list[object] = []
    damaged: list[Row] = []
    at = 0
    while found := re.compile(r"[{\[]").search(text, at):
        try:
            value, at = _JSON.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            rest = text[found.start() :]
            rows = islice(_rows(_repaired(rest)), MAX_ROWS)
            damaged = [_proved(row, rest) for row in rows]
            break
        values.append(value)
    return values, [*islice(_rows(values), MAX_ROWS), *damaged]


def _repaired(text: str) -> object:
    """Return the value of damaged JSON as far as it can be read."""
    import json_repair

    if len(text) > REPAIRABLE or text.count("{") + text.count("[") > BRACKETS:
        return None
    try:
        return json_repair.loads(text + CUT)
    except Exception:  # a stranger's parser on a stranger's text: no answer may end a run
        return None


def _proved(row: Row, text: str) -> Row:
    """Empty the output where a field does not stand whole in the damaged JSON."""
    sound = all(_stands_in(row.get(name, ""), text) for name in FIELDS)
    return row if sound else {**row, "output": ""}


def _stands_in(value: str, text: str) -> bool:
    escaped = json.dumps(value, ensure_ascii=False)[1:-1]
    for form in {escaped, value, escaped.replace('\\"', '"'), json.dumps(value)[1:-1]}:
        at = text.find(form)
        for _ in range(DEPTH):
            if at < 0:
                break
            if text[at - 1 : at] in QUOTES and _END_OF_VALUE.match(text, at + len(form)):
                return True
            at = text.find(form, at + 1)
    return not value


def _rows(value: object, depth: int = 0) -> Iterator[Row]:
    """Yield the rows in a JSON value, wrapped in lists, objects or strings of JSON."""
    if depth > DEPTH:
        return
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            yield from _rows(_JSON.decode(_escaped(value)), depth + 1)
        except (ValueError, RecursionError):
            return
    elif isinstance(value, list):
        for item in value:
            yield from _rows(item, depth + 1)
    elif isinstance(value, dict):
        found = _fields(value, depth)
        yield from found
        if not found:
            for item in value.values():
                yield from _rows(item, depth + 1)


def _fields(value: dict[str, object], depth: int) -> list[Row]:
    """Return the rows whose fields are an object's own: one, or several by numbered names or as
    columns."""
    columns = {k: item for k, item in value.items() if _field(k) and isinstance(item, list)}
    lengths = {*map(len, columns.values())}
    if len(columns) > 1 and len(lengths) == 1 and lengths != {1}:  # a row to each place
        cells = zip(*columns.values(), strict=True)
        own = [value | dict(zip(columns, row, strict=True)) for row in islice(cells, MAX_ROWS)]
        return list(chain.from_iterable(_fields(row, depth) for row in own))
    groups: dict[str, Row] = {}
    for name, item in value.items():
        field = _field(name)
        if field and not (isinstance(item, dict) and any(_rows(item, depth + 1))):
            number = "".join(re.findall(r"\d", name))
            groups.setdefault(number, {}).setdefault(field, _text(item))
    rows = []
    for row in groups.values():
        if len(row) > 1 or "instruction" in row:
            rows.append({**row, "kind": str(value.get("kind") or "")})
    return rows


def _field(name: str) -> str:
    """Return the field that a name means, or ""."""
    field = ""
    for word in re.findall(r"[a-z]+", name.lower()):
        field = FIELD.get(word, field)
    return field


def _text(item: object) -> str:
    if item is None or CUT in json.dumps(item, ensure_ascii=False):
        return ""
    if isinstance(item, list):
        return "\n".join(map(_text, item))
    if isinstance(item, dict) and len(item) == 1:
        return _text(*item.values())
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def _from_labels(text: str, cut: bool) -> list[Row]:
    """Return the rows of labelled text; none where the labels are out of order.

    An output may speak of labels itself. Where those with a mark ("- Output:") are in order alone,
    it is left as it is; where all of them are too, nobody can tell.
    """
    every, marked = _pieces(text, marked=False), _pieces(text, marked=True)
    rows = _in_order(every, cut)
    if len(marked) == len(every):
        return rows
    whole = _in_order(marked, cut, farewell=False)
    return [] if rows and whole else rows or whole


def _pieces(text: str, marked: bool) -> list[tuple[str, list[str]]]:
    """Return each label's field and lines; `marked` ones only, if no other is outside an output."""
    pieces: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        label = _LABEL.match(line)
        mark = label["mark"].strip() if label else ""
        if label and not (label["colon"] or (mark and not label["text"].strip())):
            label = None
        if label and (mark or not marked):
            pieces.append((FIELD[label["name"].lower()], [label["text"]]))
        elif label and (not pieces or pieces[-1][0] != "output"):
            return []
        elif pieces:
            pieces[-1][1].append(line)
    return pieces


def _in_order(pieces: list[tuple[str, list[str]]], cut: bool, farewell: bool = True) -> list[Row]:
    """Return the rows that labelled pieces make; none where they are out of order."""
    rows: list[Row] = []
    for number, (field, lines) in enumerate(pieces, 1):
        last = number == len(pieces)
        if field == "instruction":
            rows.append({})
        elif not rows or field in rows[-1] or "output" in rows[-1]:
            return []
        rows[-1][field] = "" if last and cut else _without_heading(lines, last, farewell)
    whole = rows[:-1] if cut else rows  # one without an output was no task, but text of another
    return rows if all("output" in row for row in whole) else []


def _without_heading(lines: list[str], last: bool, farewell: bool) -> str:
    """Return a field's text without YAML's mark before it, or rule, heading or farewell behind."""
    if lines[0].strip() in YAML_BLOCKS:
        lines = lines[1:]
    while len(lines) > 1:
        bare = lines[-1].strip().strip("*_#>-=:.)` \t")
        if bare and (last or not _HEADING.fullmatch(bare)):
            break
        lines = lines[:-1]
    farewell = farewell and last and len(lines) > 2 and not lines[-2].strip()
    if farewell and _FAREWELL.match(lines[-1]):
        lines = lines[:-2]
    text = "\n".join(lines).strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2
    return text[1:-1].strip() if quoted else text


def _draft(row: Row) -> Draft:
    instruction, input, output = (clean(row.get(name, "")).strip() for name in FIELDS)
    kind = clean_line(row.get("kind", ""))[:60]
    if kind.lower() in (OPEN, CLOSED):
        kind = kind.lower()
    return Draft(instruction, input, output, kind or Draft.kind)
