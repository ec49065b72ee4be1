"""Read triples: what generate wrote, or a person's own file in JSON, JSON Lines, CSV or Parquet.

Whatever a row carries of a Triple or its paper is used. A row that cannot be used becomes a reject
with file and line; the rest is read.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from components.curate.formats import read_rows
from components.curate.rows import fields_of, source_of, split_id, triple_of, without_marks
from components.curate.unnamed import name_unknown_papers
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.records import Source, Triple, digest, read_records
from components.shared.text import clean

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
NOT_TRIPLES = ("sources.jsonl", "rejects.jsonl", "lineage.jsonl", "obligations.jsonl")


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
            source.extra = {}  # what else stands there, such as whole pages, is no attribution
            material.sources[source.paper, source.version] = source
    rows: list[tuple[Triple, str]] = []
    for file in _files(path):
        rows += _read_file(file, material, ledger, own_teacher, paper_column)
    if not rows and material.own:
        firsts: dict[str, str] = {}
        for reject in ledger.rejects:
            firsts.setdefault(reject["reason"], f"{reject['item']}: {reject['reason']}")
        told = "; ".join([*firsts.values()][:3]) or "no rows"
        remedy = "each row needs instruction, input and output"
        raise DataError(f"{path}: holds no usable triple ({told})", remedy)
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


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        remedy = "name a file, or run the stage that writes it first"
        raise DataError(f"{path} does not exist", remedy)
    found: dict[str, Path] = {}  # of the same rows in two formats one is read
    for file in sorted(path.iterdir(), reverse=True):
        if file.suffix in SUFFIXES and file.name not in NOT_TRIPLES:
            found[file.stem] = file
    if not found:
        problem = f"{path}: holds no file of triples ({', '.join(SUFFIXES)})"
        raise DataError(problem, "name a file, or a folder of files")
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
            values, shape = fields_of(row, paper_column)
            triple = triple_of(values, own_teacher)
            key = (triple.paper, triple.version)
            if key not in material.sources and (source := source_of(values, *key)):
                material.sources[key] = source
        except ValueError as fault:
            ledger.drop(where, f"malformed: {fault}")
            continue
        found.append((triple, where))
        shapes[shape] += 1
    told = "; ".join(f"{count} rows as {shape}" for shape, count in shapes.most_common())
    material.understood.append(f"{file.name}: {form}; {told or 'no usable row'}")
    return found


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
