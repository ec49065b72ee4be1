"""Read triples: what generate wrote, or a person's own file in JSON or JSONL.

Own rows need instruction, input and output under these names, in lower case (alpaca) or capitalised; whatever else they
carry of a Triple or its paper is used. A row that cannot be used becomes a reject with file and line; the rest is read.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.curate.shingles import shingle
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.licences import model_licence, terms
from components.shared.records import Source, Triple, digest, read_records

FIELDS = ("instruction", "input", "output")
MAX_CHARACTERS = 100_000  # of a field; a longer one is no task but a file in the wrong place
# what a row may tell besides, the type it must have, and what stands for not knowing
OPTIONAL: dict[str, tuple[tuple[type, ...], Any]] = {
    "kind": ((str,), "own"),
    "paper": ((str,), ""),
    "version": ((int,), 0),
    "page": ((int,), 0),  # 0: rests on no page we know, so that its grounding cannot be judged
    "evidence": ((list,), []),
    "grounding": ((int, float), 0.0),
    "teacher": ((str,), ""),
    "teacher_licence": ((str,), ""),
    "prompt_hash": ((str,), ""),
}
OF_PAPER = ("licence", "title", "authors", "submitted")  # what a row may tell of its paper
NOT_TRIPLES = ("sources.jsonl", "rejects.jsonl", "lineage.jsonl", "obligations.jsonl")
UNNAMED = "passage-"  # opens the name that stands for the paper of a row that names none

_ARXIV = re.compile(
    r"(?:arxiv:|https?://arxiv\.org/(?:abs|pdf)/)?(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v(\d+))?",
    re.I,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BETWEEN_LINES = re.compile(r"\s*")
_BETWEEN_ITEMS = re.compile(r"[\s,\]]*")
_NEXT_LINE = re.compile(r"\n")
_NEXT_ITEM = re.compile(r"\n\s*(?=\{)|\}\s*,\s*(?=\{)")


@dataclass
class Material:
    """The triples to curate and the papers that they come from."""

    triples: list[Triple] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)  # triple id -> file and line
    sources: dict[tuple[str, int], Source] = field(default_factory=dict)  # by paper and version

    def source(self, triple: Triple) -> Source:
        """Return the paper of a triple in the triple's version: licences are given per version."""
        key = (triple.paper, triple.version)
        if key not in self.sources:
            self.sources[key] = Source(
                paper=key[0], version=key[1], title="", authors=[], licence="unknown"
            )
        return self.sources[key]


def read_material(path: Path, ledger: Ledger, own_teacher: str = "") -> Material:
    """Read a file, or a folder of files, naming `own_teacher` where a row names none.

    Raise DataError when nothing can be used, unless a stage wrote the folder: it may have had nothing to write.
    """
    material = Material()
    by_stage = (path / "sources.jsonl").exists()
    for source in read_records(path / "sources.jsonl", Source) if by_stage else ():
        source.paper, _ = split_id(source.paper)
        material.sources[source.paper, source.version] = source
    rows: list[tuple[Triple, str]] = []
    for file in _files(path):
        for line, row in parse_rows(file.read_bytes()):
            where = f"{file.name}, line {line}"
            try:
                rows.append((_triple(row, material.sources, own_teacher), where))
            except ValueError as fault:
                if not (by_stage and str(fault) == "empty file"):
                    ledger.drop(where, f"malformed: {fault}")
    if not rows and not by_stage:
        problems = "; ".join(
            f"{reject['item']}: {reject['reason']}" for reject in ledger.rejects[:3]
        )
        raise DataError(
            f"{path}: holds no usable triple ({problems})",
            "each row needs instruction, input and output",
        )
    _name_passages([triple for triple, _ in rows if not triple.paper])
    _keep_first_of_an_id(rows, material, ledger)
    return material


def parse_rows(data: bytes) -> Iterator[tuple[int, object]]:
    """Yield (line, row) of JSON or JSONL; a ValueError in place of a row says why there is none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield 1, ValueError("UTF-16, not UTF-8")
        return
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    place = len(text) - len(text.lstrip())
    is_array = text.startswith("[", place)
    place += is_array
    between, following = (_BETWEEN_ITEMS, _NEXT_ITEM) if is_array else (_BETWEEN_LINES, _NEXT_LINE)
    decoder, line, counted, empty = json.JSONDecoder(), 1, 0, not text.strip()
    if empty:
        yield 1, ValueError("empty file")
    while (place := between.match(text, place).end()) < len(text):  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, place), place
        try:
            row, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            row, found = ValueError("not JSON"), following.search(text, place + 1)
            place = found.end() if found else len(text)
        yield line, row


def split_id(paper: str) -> tuple[str, int]:
    """Return (id, version) of an arXiv id in any usual form; any other name stays as it is, in version 0."""
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
    found = [
        file
        for file in sorted(path.iterdir())
        if file.suffix in (".jsonl", ".json") and file.name not in NOT_TRIPLES
    ]
    if not found:
        raise DataError(
            f"{path}: holds no *.jsonl or *.json with triples", "name a file, or a folder of files"
        )
    return found


def _triple(row: object, sources: dict[tuple[str, int], Source], own_teacher: str) -> Triple:
    """Return the triple of a row; raise ValueError with the reason when there is none. Its paper joins the sources."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    values = {
        name.lower() if name.lower() in FIELDS else name: value for name, value in row.items()
    }
    values = {
        name: values[name] for name in (*FIELDS, *OPTIONAL, *OF_PAPER, "id") if name in values
    }
    for name in FIELDS:
        if name not in values:
            raise ValueError(f"lacks {name}")
        _check(name, values[name], (str,))
    for name, (types, default) in OPTIONAL.items():
        if values.get(name) is None:
            values[name] = default
        _check(name, values[name], types)
    if not all(
        isinstance(span, list) and all(isinstance(end, int) for end in span)
        for span in values["evidence"]
    ):
        raise ValueError("evidence is not a list of [start, end]")
    values["paper"], version = split_id(values["paper"])
    values["version"] = values["version"] or version
    values["teacher"] = values["teacher"] or own_teacher
    told = values["teacher_licence"]
    values["teacher_licence"] = terms(told) if told else model_licence(values["teacher"])
    content = [values[name] for name in ("paper", "version", "page", *FIELDS)]
    identity = values.get("id")
    values["id"] = (
        str(identity) if isinstance(identity, int | str) and str(identity) else digest(content)[:16]
    )
    _check("id", values["id"], (str,))
    about = {name: values.pop(name, None) for name in OF_PAPER}
    _add_source((values["paper"], values["version"]), about, sources)
    return Triple.from_dict(values)


def _check(name: str, value: object, types: tuple[type, ...]) -> None:
    kinds = {str: "text", int: "a whole number", float: "a number", list: "a list"}
    if not isinstance(value, types) or isinstance(value, bool):
        raise ValueError(f"{name} is not {kinds[types[-1]]}")
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise ValueError(f"{name} is longer than {MAX_CHARACTERS:,} characters")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise ValueError(f"{name} is not UTF-8")


def _add_source(
    key: tuple[str, int], about: dict[str, Any], sources: dict[tuple[str, int], Source]
) -> None:
    """Remember what a row itself tells of its paper, unless the sources say it already."""
    if not key[0] or key in sources or not isinstance(about["licence"], str):
        return
    listed = about["authors"] if isinstance(about["authors"], list) else []
    authors = [author for author in listed if isinstance(author, str)]
    told: dict[str, Any] = {
        name: about[name] if isinstance(about[name], str) else ""
        for name in ("licence", "title", "submitted")
    }
    for text in (*told.values(), *authors):
        _check("what is told of the paper", text, (str,))
    sources[key] = Source(paper=key[0], version=key[1], authors=authors, **told)


def _name_passages(triples: list[Triple]) -> None:
    """Name the unknown paper of each row after its passage, so that rows about one passage stay together.

    The name is the least hash of the passage's 8-grams (one MinHash): it depends on the row alone, and two rows that
    quote nearly the same passage have nearly always the same.
    """
    grams = shingle(
        [triple.input or f"{triple.instruction} {triple.output}" for triple in triples],
        8,
        keep_short=True,
    )
    for number, triple in enumerate(triples):
        triple.paper = f"{UNNAMED}{int(np.min(grams.of(number), initial=2**64 - 1)):016x}"


def _keep_first_of_an_id(
    rows: list[tuple[Triple, str]], material: Material, ledger: Ledger
) -> None:
    """Keep one row an id, whatever the order they came in; equal rows are left to the duplicates."""
    keyed = sorted(rows, key=lambda item: (item[0].id, digest(item[0].to_dict()), item[1]))
    kept: Triple | None = None
    for triple, where in keyed:
        if kept and kept.id == triple.id and kept.to_dict() != triple.to_dict():
            ledger.drop(
                where, "malformed: duplicate id", f"{triple.id}, also at {material.where[kept.id]}"
            )
            continue
        if not (kept and kept.id == triple.id):
            kept = triple
            material.where[triple.id] = where
        material.triples.append(triple)
