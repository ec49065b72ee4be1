"""`arxtune score FILE`: what copying scores on a dataset, beside answers made elsewhere."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from components.curate.export import example
from components.curate.reader import read_material
from components.evaluate.dataset_scores import dataset_scores
from components.evaluate.metrics import FURTHER
from components.evaluate.rouge import METRICS
from components.shared.errors import ConfigError, DataError
from components.shared.ledger import Ledger
from components.shared.records import Example
from components.shared.text import clean_line
from components.shared.verdict import title

TITLES = {
    "unicode": "every script, numbers and mathematical symbols (decides)",
    "rouge-score": "rouge-score's own, stemmed (compares with published figures)",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune score` to the command line."""
    about = "score trivial baselines, and answers made elsewhere, on a dataset"
    rows = "instruction, input and output, or conversations; JSON, CSV or Parquet"
    answers = "a system's answers: a JSON list of texts, one a row; may be repeated"
    known = "training data that the baselines may know"
    parser = commands.add_parser("score", help=about)
    parser.add_argument("file", type=Path, metavar="FILE", help=rows)
    parser.add_argument("--train", type=Path, metavar="FILE", help=known)
    parser.add_argument("--answers", action="append", default=[], metavar="NAME=FILE", help=answers)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", action="store_true", help="print every figure in full")
    parser.set_defaults(command=_score)


def _score(arguments: argparse.Namespace) -> None:
    examples, told = read_dataset(arguments.file)
    training = read_dataset(arguments.train)[0] if arguments.train else []
    others = dict(_read_answers(text, len(examples)) for text in arguments.answers)
    tables = dataset_scores(examples, training, others, arguments.seed)
    if arguments.json:
        print(told, file=sys.stderr)
        print(json.dumps(tables, indent=1, ensure_ascii=False))
    else:
        print(told, _text(tables, len(examples)), sep="\n")


def read_dataset(path: Path) -> tuple[list[Example], str]:
    """Return the rows of a dataset, as curate reads them, and what was understood, in one line."""
    ledger = Ledger("score", "rows")
    material = read_material(path, ledger)
    if not material.triples:
        raise DataError(f"{path}: no rows", "a row needs instruction, input and output")
    told = "; ".join(material.understood)
    if ledger.rejects:
        first = f"{ledger.rejects[0]['item']}: {ledger.rejects[0]['reason']}"
        told += f"; {len(ledger.rejects)} rows left out, the first: {first}"
    return [example(triple) for triple in material.triples], clean_line(told)


def _read_answers(text: str, rows: int) -> tuple[str, list[str]]:
    """Read NAME=FILE; raise an error that names it when it does not hold one text for each row."""
    name, equals, file = text.partition("=")
    if not equals:
        raise ConfigError(f"--answers {text!r}: not NAME=FILE")
    asked = f"--answers {text!r}"
    try:
        found = json.loads(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{asked}: cannot be read ({error})"
        raise DataError(problem, "write a JSON list of texts") from None
    texts = isinstance(found, list) and all(isinstance(answer, str) for answer in found)
    if not texts or len(found) != rows:
        raise DataError(f"{asked}: not a list of {rows} texts", "one a row, in the same order")
    return clean_line(name), found


def _text(tables: dict[str, list[dict[str, Any]]], rows: int) -> str:
    lines = [f"{rows} rows, mean F measures"]
    for tokenizer, systems in tables.items():
        lines += ["", f"tokenizer '{tokenizer}': {TITLES[tokenizer]}"]
        names = "".join(f"  {metric.name}" for metric in FURTHER)
        lines += [f"  {'':<24} ROUGE-1  ROUGE-2  ROUGE-L   words{names}"]
        for row in systems:
            figures = "  ".join(f"{row[metric]['fmeasure']:7.4f}" for metric in METRICS)
            others = "".join(f"  {row[m.name]:{len(m.name)}.4f}" for m in FURTHER)
            lines.append(f"  {title(row['system']):<24} {figures}  {row['words']:6.1f}{others}")
    return "\n".join(lines)
