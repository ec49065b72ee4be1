"""The records on the edges between stages: one small dataclass each, stored as JSONL.

UTF-8, one object a line. Fields that a record does not know are kept in `extra` and written back; a
missing field is a DataError that names file, line and field.
"""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

from components.shared.errors import DataError

OPEN = "open"  # kind of a task that is solved from its passage, where a teacher names no other
CLOSED = "closed"  # kind of a task that is asked without its passage: whoever read it knows
TEXT = "text"  # kind of an example that is plain text, without a prompt
UNNAMED = "rows-"  # opens the name of a group of rows that name no paper: it is none


def is_unnamed(paper: str) -> bool:
    """Tell whether what stands for a paper is but a group of rows that name none."""
    return paper.startswith(UNNAMED)


@dataclass(kw_only=True)
class Record:
    """Base of all records: conversion from and to a JSON object."""

    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, row: object, where: str = "record") -> Self:
        """Build the record; raise DataError naming `where` when `row` lacks a field or is no
        object."""
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        missing = [name for name, f in known.items() if name not in row and not _has_default(f)]
        if missing:
            raise DataError(f"{where}: a {cls.__name__} lacks {', '.join(missing)}")
        values = {name: row[name] for name in known if name in row}
        return cls(
            **values, extra={name: value for name, value in row.items() if name not in known}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready object, unknown fields last."""
        row = dataclasses.asdict(self)
        return {**{name: value for name, value in row.items() if name != "extra"}, **row["extra"]}


def _has_default(f: "dataclasses.Field[Any]") -> bool:
    return f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING


@dataclass(kw_only=True)
class Paper(Record):
    """One version of one paper; `pdf` is a path relative to the folder of papers.jsonl."""

    arxiv_id: str  # without version: 2405.90001 or hep-th/9901001
    version: int
    title: str
    authors: list[str]
    abstract: str
    categories: list[str]  # the first is the primary one
    submitted: str  # day of the first submission, YYYY-MM-DD
    licence: str  # URL, or "unknown"
    pdf: str
    bytes: int
    sha256: str
    source: str  # names of the sources that told of it
    fetched_at: str  # ISO 8601, UTC

    @property
    def key(self) -> str:
        """Return the id with its version, as arXiv writes it: 2405.90001v1."""
        return f"{self.arxiv_id}v{self.version}"


@dataclass(kw_only=True)
class Document(Record):
    """The text of one paper: pages are numbered from 1, their offsets count characters of
    `text`."""

    paper: str  # arXiv id
    version: int
    title: str
    authors: list[str]
    licence: str
    # Each has "number" and "text"; "quality"; "marks" {"kind", "start", "end"} of text not to learn
    # from; "flags" {"kind", "text"} of text that was kept out; and a "reject" with the reason where
    # the page is not good enough.
    pages: list[dict[str, Any]]
    quality: float  # 0 (unusable) to 1
    repairs: dict[str, int]  # kind of repair -> how often
    submitted: str = ""  # day of the first submission, YYYY-MM-DD, where it is known


@dataclass(kw_only=True)
class Triple(Record):
    """An instruction, its input and the expected output, with the place in the paper that it rests
    on."""

    id: str
    instruction: str
    input: str
    output: str
    kind: str  # the kind of task, for breakdowns; CLOSED is rendered without its input
    paper: str
    version: int
    page: int
    evidence: list[list[int]]  # [start, end) character offsets into the page's text
    grounding: float  # how well the evidence bears out the output, 0 to 1: see shared/grounding.py
    teacher: str
    teacher_licence: str
    prompt_hash: str


@dataclass(kw_only=True)
class Source(Record):
    """A paper that triples come from: what an attribution has to name."""

    paper: str
    version: int
    title: str
    authors: list[str]
    licence: str
    submitted: str = ""  # day of the first submission, YYYY-MM-DD, where it is known


@dataclass(kw_only=True)
class Example(Record):
    """What the trainer and the evaluation see: a rendered prompt and the completion wanted.

    `input` is the passage that the completion rests on, also where the prompt does without it.
    """

    triple: str
    paper: str
    kind: str
    instruction: str
    input: str
    prompt: str
    completion: str


@dataclass(kw_only=True)
class Answer(Record):
    """What one system answered to one test example, and how it scored."""

    system: str
    triple: str
    paper: str
    kind: str
    text: str
    tokens: int  # new tokens, the end token included; 0 for systems that are no model
    stopped: bool  # ended by itself rather than by the limit of new tokens
    scores: dict[
        str, float
    ]  # rouge1, rouge2, rougeL: F measures; <metric>_precision, <metric>_recall, seed_<metric>
    repetition: float = 0.0  # share of its runs of four words that were there before
    loss: float | None = (
        None  # nats of the reference under the model, summed; None for systems that are no model
    )
    reference_tokens: int = (
        0  # tokens of the reference that the loss is summed over, the end token included
    )


@dataclass(kw_only=True)
class Adapter(Record):
    """What finetune made, as adapter.json beside it tells; `extra` holds the figures of the
    training."""

    base: str  # as people know it: a hub id, a folder, or the name of a base made here
    base_path: str  # of a base made here, relative to the adapter's folder; otherwise empty
    trained: bool
    adapter_digest: str  # sha256 of adapter_model.safetensors; empty where nothing was trained
    base_identity: str = ""  # changes whenever the base's weights may have changed
    base_licence: str = ""
    base_cutoff: str = ""  # last day of what the base may have read, YYYY-MM-DD; empty if unknown
    train_digest: str = ""  # of the examples
    continued_from: str = ""  # adapter_digest of the release that training went on from
    watched: list[str] = field(default_factory=list)  # papers whose loss was watched, no more
    too_long: list[str] = field(default_factory=list)  # triples left out for their length

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read adapter.json in `folder`; raise DataError when it is missing or not what finetune
        writes."""
        path = folder / "adapter.json"
        try:
            row = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path} does not exist", "run finetune first") from None
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})", "run finetune again") from None
        return cls.from_dict(row, str(path))

    def write(self, folder: Path) -> None:
        """Write adapter.json into `folder`."""
        text = json.dumps(self.to_dict(), indent=1, sort_keys=True)
        write_atomically(folder / "adapter.json", text)


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_records(path: Path, kind: type[AnyRecord]) -> Iterator[AnyRecord]:
    """Yield the records of a JSONL file in order; raise DataError naming file and line for a bad
    one."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path.name}, line {number}"
                    try:
                        row = json.loads(line)
                    except ValueError as error:
                        raise DataError(f"{where}: not JSON ({error})") from None
                    yield kind.from_dict(row, where)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "run the stage that writes it first") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 ({error.reason} at byte {error.start})") from None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write a JSONL file atomically and return how many records it holds."""
    rows = [json.dumps(record.to_dict(), ensure_ascii=False, sort_keys=True) for record in records]
    write_atomically(path, "".join(row + "\n" for row in rows))
    return len(rows)


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file so that a crash leaves either the old content or the new, never a part."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    write_stream(path, io.BytesIO(data), mode=mode)


def write_stream(
    path: Path, source: BinaryIO, scratch: Path | None = None, mode: int = 0o644
) -> None:
    """Copy a stream into a file as write_atomically does; `scratch` holds the part, on the same
    file system."""
    scratch = scratch or path.parent
    for folder in (scratch, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=scratch, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, as fsync does a file's content."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(value: object) -> str:
    """Return the sha256 (hex) of a JSON value in canonical form: the name of a content."""
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def dataset_digest(train: Iterable[Record], test: Iterable[Record]) -> str:
    """Return the hash that names a dataset: its training and its test examples, in order."""
    sides = []
    for side in (train, test):
        sides.append([example.to_dict() for example in side])
    return digest(sides)


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
