"""The shapes in which models give triples, as functions that write them; the stand-in answers in all of them.

The parser reads each of them back without loss. JSON and XML take any text; in the labelled shapes a line of a field
that itself reads like a label, a number or a rule could be taken for one, as it could by a person.
"""

import json
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from components.generate.teacher import Draft

Writer = Callable[[Sequence[Draft]], str]
FIELDS = ("instruction", "input", "output")


def _rows(drafts: Sequence[Draft], names: Sequence[str] = FIELDS) -> list[dict[str, str]]:
    return [
        {name: getattr(draft, field) for name, field in zip(names, FIELDS, strict=True)}
        for draft in drafts
    ]


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _xml(drafts: Sequence[Draft]) -> str:
    blocks = [
        "".join(f"<{name}>{escape(getattr(draft, name))}</{name}>\n" for name in FIELDS)
        for draft in drafts
    ]
    return (
        "<triples>\n" + "".join(f"<triple>\n{block}</triple>\n" for block in blocks) + "</triples>"
    )


def labelled(
    label: str, *, heading: str = "", between: str = "\n", name: Callable[[str], str] = str.title
) -> Writer:
    """Return a writer of labelled text; `label` shows how a field's name and text are put together."""

    def write(drafts: Sequence[Draft]) -> str:
        blocks = []
        for number, draft in enumerate(drafts, 1):
            fields = [
                label.format(name=name(field), text=getattr(draft, field)) for field in FIELDS
            ]
            blocks.append(
                (heading.format(number=number) + "\n" if heading else "") + between.join(fields)
            )
        return "\n\n".join(blocks)

    return write


EXACT: dict[str, Writer] = {
    "object": lambda drafts: _json({"triples": _rows(drafts)}),
    "indented object": lambda drafts: _json({"triples": _rows(drafts)}, 2),
    "escaped object": lambda drafts: json.dumps({"triples": _rows(drafts)}),
    "array": lambda drafts: _json(_rows(drafts)),
    "capital names": lambda drafts: _json(
        {"Triples": _rows(drafts, ("Instruction", "Input", "Output"))}
    ),
    "other list name": lambda drafts: _json({"examples": _rows(drafts)}),
    "other field names": lambda drafts: _json(_rows(drafts, ("question", "context", "answer"))),
    "numbered object": lambda drafts: _json(
        {f"Triple {n}": row for n, row in enumerate(_rows(drafts), 1)}
    ),
    "fenced": lambda drafts: (
        f"Here you are:\n\n```json\n{_json({'triples': _rows(drafts)}, 1)}\n```\nEnjoy!"
    ),
    "after words": lambda drafts: f"Sure, here are the triples: {_json(_rows(drafts))}",
    "lines": lambda drafts: "\n".join(map(_json, _rows(drafts))),
    "xml": _xml,
}

LABELLED: dict[str, Writer] = {
    "plain": labelled("{name}: {text}"),
    "headed": labelled("{name}: {text}", heading="Triple {number}:\n"),
    "bold": labelled("**{name}:** {text}", heading="**Triple {number}**"),
    "bold colon outside": labelled("**{name}**: {text}"),
    "markdown headings": labelled(
        "### {name}\n{text}", heading="## Triple {number}", between="\n\n"
    ),
    "capitals": labelled("{name}: {text}", name=str.upper),
    "bullets": labelled("- {name}: {text}", heading="{number}."),
    "bold bullets": labelled("* **{name}:** {text}", heading="### Example {number}:"),
    "own line": labelled("{name}:\n{text}", heading="Triple {number}"),
    "quoted": labelled('{name}: "{text}"', heading="Triple {number}:"),
    "curly quotes": labelled("{name}: “{text}”"),
    "ruled": labelled("{name}: {text}", heading="---"),
    "dashes": labelled("{name} - {text}"),
}
SHAPES = EXACT | LABELLED
