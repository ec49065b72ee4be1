"""Show the passage that a triple rests on."""

import argparse
import json
from pathlib import Path

from components.shared.errors import DataError
from components.shared.grounding import grounding
from components.shared.records import Document, Triple, read_records

CONTEXT = 200  # characters shown on each side of a span


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune explain` to the command line."""
    parser = commands.add_parser("explain", help="show the passage that a triple rests on")
    parser.add_argument("triple", metavar="ID", help="id of a triple, or its beginning")
    for option, about in (
        ("--home", "where runs are kept"),
        ("--triples", "output of generate, instead of the last run's"),
        ("--documents", "output of extract, instead of the last run's"),
    ):
        parser.add_argument(option, type=Path, metavar="FOLDER", help=about)
    parser.set_defaults(home=Path(".arxtune"))
    parser.set_defaults(command=_explain)


def _explain(arguments: argparse.Namespace) -> None:
    triples = arguments.triples or _latest(arguments.home, "generate/triples")
    documents = arguments.documents or _latest(arguments.home, "extract/documents")
    print(explain(arguments.triple, triples, documents))


def explain(name: str, triples: Path, documents: Path) -> str:
    """Return the triple, where it comes from, and the passage with the evidence between ⟦ and ⟧."""
    triple = _find(name, triples)
    text = _page(triple, documents)
    passage, places, shown = [], [], []
    for start, end in triple.evidence:
        passage.append(text[start:end])
        places.append(f"{start}-{end}")
        before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
        shown.append(f"…{before}⟦{text[start:end]}⟧{after}…")
    _, problem = grounding(triple.output, " ".join(passage))
    doubt = f"  ({problem})" if problem else ""
    return f"""\
triple       {triple.id}  ({triple.kind})
paper        {triple.paper}v{triple.version}, page {triple.page}, characters {", ".join(places)}
teacher      {triple.teacher}, {triple.teacher_licence}
grounding    {triple.grounding:.2f}{doubt}
instruction  {triple.instruction}
input        {triple.input}
output       {triple.output}

""" + "\n".join(shown)


def _latest(home: Path, artifact: str) -> Path:
    found: dict[str, Path] = {}  # by the name of the run, which begins with its time
    for path in home.glob(f"runs/*/artifacts/*/{artifact}"):
        found[path.relative_to(home).parts[1]] = path
    if not found:
        remedy = "run 'arxtune run' first, or name --triples, --documents"
        raise DataError(f"{home}: holds no run with {artifact}", remedy)
    return found[max(found)]


def _find(name: str, folder: Path) -> Triple:
    """Return the triple whose id begins so; where it was dropped, tell by which stage and why."""
    triples = read_records(folder / "triples.jsonl", Triple)
    found = [triple for triple in triples if triple.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        remedy = f"use a longer prefix: {found[0].id}, {found[1].id}, ..."
        raise DataError(f"{name!r} matches {len(found)} triples", remedy)
    rejects = folder / "rejects.jsonl"
    if name and rejects.is_file():
        for line in rejects.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["item"].startswith(name):
                problem = f"{name!r} was dropped by {row['stage']}: {row['reason']}"
                raise DataError(problem, row["detail"])
    remedy = "ids stand in triples.jsonl and in the report"
    raise DataError(f"there is no triple {name!r} in {folder}", remedy)


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
