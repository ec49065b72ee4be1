"""Show the passage that a triple rests on."""

import argparse
import json
from pathlib import Path
from typing import Any

from components.shared.errors import DataError
from components.shared.grounding import grounding
from components.shared.records import Document, Triple, read_records

CONTEXT = 200  # characters shown on each side of a span


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune explain` to the command line."""
    parser = commands.add_parser("explain", help="show the passage that a triple rests on")
    parser.add_argument("triple", metavar="ID", help="id of a triple, or its beginning")
    parser.add_argument(
        "--home", type=Path, default=Path(".arxtune"), metavar="FOLDER", help="where runs are kept"
    )
    parser.add_argument(
        "--triples",
        type=Path,
        metavar="FOLDER",
        help="output of generate, instead of the last run's",
    )
    parser.add_argument(
        "--documents",
        type=Path,
        metavar="FOLDER",
        help="output of extract, instead of the last run's",
    )
    parser.set_defaults(command=_explain)


def _explain(arguments: argparse.Namespace) -> None:
    triples = arguments.triples or _latest(arguments.home, "generate/triples")
    documents = arguments.documents or _latest(arguments.home, "extract/documents")
    print(explain(arguments.triple, triples, documents))


def explain(name: str, triples: Path, documents: Path) -> str:
    """Return the triple, where it comes from, and the passage with the evidence between ⟦ and ⟧."""
    triple = _find(name, triples)
    text = _page(triple, documents)
    passage = " ".join(text[start:end] for start, end in triple.evidence)
    _, problem = grounding(triple.output, passage)
    shown = [
        f"…{text[max(0, start - CONTEXT) : start]}⟦{text[start:end]}⟧{text[end : end + CONTEXT]}…"
        for start, end in triple.evidence
    ]
    place = "characters " + ", ".join(f"{start}-{end}" for start, end in triple.evidence)
    return "\n".join(
        [
            f"triple       {triple.id}  ({triple.kind})",
            f"paper        {triple.paper}v{triple.version}, page {triple.page}, {place}",
            f"teacher      {triple.teacher}, {triple.teacher_licence}",
            f"grounding    {triple.grounding:.2f}{f'  ({problem})' if problem else ''}",
            f"instruction  {triple.instruction}",
            f"input        {triple.input}",
            f"output       {triple.output}",
            "",
            *shown,
        ]
    )


def _latest(home: Path, artifact: str) -> Path:
    found = sorted(
        home.glob(f"runs/*/artifacts/*/{artifact}"),
        key=lambda path: path.relative_to(home).parts[1],
    )
    if not found:
        raise DataError(
            f"{home}: holds no run with {artifact}",
            "run 'arxtune run' first, or name --triples, --documents",
        )
    return found[-1]


def _find(name: str, folder: Path) -> Triple:
    found = [
        triple
        for triple in read_records(folder / "triples.jsonl", Triple)
        if triple.id.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{name!r} matches {len(found)} triples",
            f"use a longer prefix: {found[0].id}, {found[1].id}, ...",
        )
    for row in _rejects(folder) if name else ():
        if str(row.get("item")).startswith(name):
            problem = f"{name!r} was dropped by {row.get('stage')}: {row.get('reason')}"
            raise DataError(problem, str(row.get("detail", "")))
    raise DataError(
        f"there is no triple {name!r} in {folder}", "ids stand in triples.jsonl and in the report"
    )


def _rejects(folder: Path) -> list[dict[str, Any]]:
    path = folder / "rejects.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def _page(triple: Triple, folder: Path) -> str:
    """Return the text of the page that a triple rests on."""
    for document in read_records(folder / "documents.jsonl", Document):
        if (document.paper, document.version) != (triple.paper, triple.version):
            continue
        for page in document.pages:
            if page["number"] == triple.page:
                return str(page["text"])
    raise DataError(
        f"{folder} holds no page {triple.page} of {triple.paper}v{triple.version}",
        "name the run's own by --documents",
    )
