"""Read triples: what generate wrote, or a person's own file in JSON, JSON Lines, CSV or Parquet.

Own rows tell instruction, input and output by name, in any case, or as a conversation; whatever
else they carry of a Triple or its paper is used. A row that cannot be used becomes a reject with
file and line; the rest is read.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.curate.formats import read_rows
from components.curate.shapes import FIELDS, fields_of, without_marks
from components.curate.unnamed import name_unknown_papers
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.licences import model_licence, terms
from components.shared.records import Source, Triple, digest, read_records
from components.shared.text import clean, clean_line, finite

MAX_CHARACTERS = 100_000  # of a field; a longer one is no task but a file in the wrong place
MAX_NUMBER = 1e9  # of a version, a page or an offset
TEXTS = {"kind": "own", "paper": "", "teacher": "", "teacher_licence": "", "prompt_hash": ""}
OF_PAPER = ("licence", "title", "submitted")  # what a row may tell of its paper, beside the authors
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
NOT_TRIPLES = ("sources.jsonl", "rejects.jsonl", "lineage.jsonl", "obligations.jsonl")

_ARXIV = re.compile(
    r"(?:arxiv:|https?://arxiv\.org/(?:abs|pdf)/)?"
    r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v(\d{1,4}))?",
    re.I,
)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Material:
    """The triples to curate, in the order of their files, and the papers that they come from."""

    triples: list[Triple] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)  # triple id -> file and line
    sources: dict[tuple[str, int], Source] = field(default_factory=dict)  # by paper and version
    understood: list[str] = field(default_factory=list)  # of each file: what it was taken for
    own: bool = False  # a person's own rows, not a stage's

    def source(self, triple: Triple) -> Source:
        """Return the paper of a triple in the triple's version: licences are given per version."""
        key = (triple.paper, triple.version)
        if key not in self.sources:
            self.sources[key] = Source(
                paper=key[0], version=key[1], title="", authors=[], licence="unknown"
            )
        return self.sources[key]


def read_material(
    path: Path, ledger: Ledger, own_teacher: str = "", paper_column: str = ""
) -> Material:
    """Read a file, or a folder of files.

    Where a row names no teacher it is `own_teacher`; `paper_column` is the field that tells a
    row's paper. Raise DataError when nothing can be used, unless a stage wrote the folder: it may
    have had nothing to write.
    """
    material = Material(own=not (path / "sources.jsonl").exists())
    if not material.own:
        for source in read_records(path / "sources.jsonl", Source):
            source.paper, _ = split_id(source.paper)
            material.sources[source.paper, source.version] = source
    rows: list[tuple[Triple, str]] = []
    for file in _files(path):
        rows += _read_file(file, material, ledger, own_teacher, paper_column)
    if not rows and material.own:
        found = {reject["reason"]: reject["item"] for reject in reversed(ledger.rejects)}
        told = [f"{item}: {reason}" for reason, item in reversed(found.items())]
        raise DataError(
            f"{path}: holds no usable triple ({'; '.join(told[:3]) or 'no rows'})",
            "each row needs instruction, input and output",
        )
    name_unknown_papers([triple for triple, _ in rows if not triple.paper])
    _keep_first_of_an_id(rows, material, ledger)
    return material


def tidy(material: Material) -> int:
    """Make the texts safe to store and train on; return of how many rows marks were taken off.

    Own rows may have been rendered for some model before: marks of its template are taken off
    their ends.
    """
    marked = 0
    for triple in material.triples:
        texts = [triple.instruction, triple.input, triple.output]
        if material.own:
            bare = list(map(without_marks, texts))
            marked += bare != texts
            texts = bare
        triple.instruction, triple.input, triple.output = map(clean, texts)
    return marked


def split_id(paper: str) -> tuple[str, int]:
    """Return (id, version) of an arXiv id in any usual form; another name stays, in version 0."""
    if found := _ARXIV.fullmatch(paper.strip()):
        return found[1], int(found[2] or 0)
    return paper.strip(), 0


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist", "name a file, or run the stage that writes it first"
        )
    found = {
        file.stem: file
        for file in sorted(path.iterdir(), reverse=True)
        if file.suffix in SUFFIXES and file.name not in NOT_TRIPLES
    }
    if not found:
        raise DataError(
            f"{path}: holds no file of triples ({', '.join(SUFFIXES)})",
            "name a file, or a folder of files",
        )
    return sorted(found.values())


def _read_file(
    file: Path, material: Material, ledger: Ledger, own_teacher: str, paper_column: str
) -> list[tuple[Triple, str]]:
    """Return the triples of one file with their places, and note what the file was taken for."""
    try:
        form, rows = read_rows(file)
    except ValueError as problem:
        if material.own:
            ledger.drop(f"{file.name}, line 1", f"malformed: {problem}")
        return []
    found: list[tuple[Triple, str]] = []
    shapes: Counter[str] = Counter()
    for line, row in rows:
        where = f"{file.name}, line {line}"
        try:
            values, shape = _values(row, paper_column)
            found.append((_triple(values, material.sources, own_teacher), where))
            shapes[shape] += 1
        except ValueError as fault:
            ledger.drop(where, f"malformed: {fault}")
    told = [f"{count} rows as {shape}" for shape, count in shapes.most_common()]
    material.understood.append(f"{file.name}: {form}; {'; '.join(told) or 'no usable row'}")
    return found


def _values(row: object, paper_column: str) -> tuple[dict[str, Any], str]:
    """Return a row's fields by our names, the three texts checked, and the shape it has."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError(f"not an object with names but {_kind(row)}")
    values, shape = fields_of(row)
    if paper_column:
        values["paper"] = values.get(paper_column)
    for name in FIELDS:
        value = values[name]
        values[name] = "" if name == "input" and value is None else _text(name, value)
    return values, shape


def _triple(
    values: Mapping[str, Any], sources: dict[tuple[str, int], Source], own_teacher: str
) -> Triple:
    """Return the triple of a row, whose paper joins the sources; raise ValueError for none."""
    told: dict[str, Any] = {
        name: _line(name, values.get(name)) or other for name, other in TEXTS.items()
    }
    told["paper"], version = split_id(told["paper"])
    told["teacher"] = told["teacher"] or own_teacher
    named = told["teacher_licence"]
    told["teacher_licence"] = terms(named) if named else model_licence(told["teacher"])
    version = _whole("version", values.get("version")) or version
    # A row on page 0 rests on no page we know, so that its grounding cannot be judged.
    page = _whole("page", values.get("page"))
    texts = {name: values[name] for name in FIELDS}
    content = [told["paper"], version, page, *texts.values()]
    identity = values.get("id")
    if isinstance(identity, bool) or not isinstance(identity, int | str):
        identity = ""
    _add_source(told["paper"], version, values, sources)
    return Triple(
        id=_line("id", str(identity)) or digest(content)[:16],
        version=version,
        page=page,
        evidence=_spans(values.get("evidence")),
        grounding=_number("grounding", values.get("grounding")),
        **told,
        **texts,
    )


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
    kinds = {list: "a list", dict: "an object", bytes: "bytes", str: "text", type(None): "null"}
    return kinds.get(type(value), "a number")


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
    if _is_missing(value) or not isinstance(value, list):
        return []
    spans = []
    for span in value:
        if not isinstance(span, list) or len(span) != 2:
            raise ValueError("evidence is not a list of [start, end]")
        spans.append([_whole("evidence", end) for end in span])
    return spans


def _add_source(
    paper: str,
    version: int,
    values: Mapping[str, Any],
    sources: dict[tuple[str, int], Source],
) -> None:
    """Remember what a row itself tells of its paper, unless the sources say it already."""
    key = (paper, version)
    if not paper or key in sources or not isinstance(values.get("licence"), str):
        return
    listed = values.get("authors")
    if not isinstance(listed, list):
        listed = [listed]
    authors = [_line("authors", author) for author in listed if isinstance(author, str)]
    told: dict[str, Any] = {"title": ""}
    for name in OF_PAPER:
        if isinstance(values.get(name), str):
            told[name] = _line(name, values[name])
    sources[key] = Source(paper=paper, version=version, authors=authors, **told)


def _keep_first_of_an_id(
    rows: list[tuple[Triple, str]], material: Material, ledger: Ledger
) -> None:
    """Keep one row an id, whatever the order; equal rows are left to the duplicates."""
    chosen: dict[str, tuple[str, str]] = {}  # id -> digest of the row that is kept, and its place
    for triple, where in rows:
        mine = (digest(triple.to_dict()), where)
        chosen[triple.id] = min(mine, chosen.get(triple.id, mine))
    for triple, where in rows:
        content, place = chosen[triple.id]
        if digest(triple.to_dict()) == content:
            material.triples.append(triple)
            material.where.setdefault(triple.id, where)
        else:
            ledger.drop(where, "malformed: duplicate id", f"{triple.id}, also at {place}")
