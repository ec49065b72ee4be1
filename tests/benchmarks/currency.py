"""What each kind of training data does to the three figures of currency, with a real model:

    python -m tests.benchmarks.currency CURATED [KNOB=VALUE ...]

CURATED is the curate folder of a run (.arxtune/runs/*/artifacts/*/curate) on the real base, which
has train and test; KNOBs are finetune's. Prints a Markdown table; some ten minutes a row on two
cores.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from components.evaluate.config import EvaluateConfig
from components.evaluate.core import evaluate
from components.evaluate.currency import BEYOND, CLOSED, KEPT, LEARNED, LOSS, OPEN, TEXT, find
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.shared.bases import SMOLLM2
from components.shared.records import Example, read_records, write_records
from components.shared.verdict import Verdict

WAYS = {  # of the rows: with closed-book ones, and the share of plain text
    "open-book rows": (False, 0.0),
    "and closed-book rows": (True, 0.0),
    "and plain text, 25%": (True, 0.25),
    "and plain text, 50%": (True, 0.5),
}
COLUMNS = ((LEARNED, BEYOND), (OPEN, LOSS), (CLOSED, LOSS), (TEXT, LOSS), (KEPT, LOSS))


def judged(curated: Path, folder: Path, closed: bool, share: float, knobs: list[str]) -> Verdict:
    """Train on the rows and texts of a curated folder, evaluate, and return the verdict."""
    shutil.copytree(curated, folder)
    rows = list(read_records(folder / "train/examples.jsonl", Example))
    chosen = [row for row in rows if closed or row.kind != CLOSED]
    write_records(folder / "train/examples.jsonl", chosen)
    common = {"store": str(folder.parent / "store")}
    given = dict(knob.split("=", 1) for knob in knobs)
    training = FinetuneConfig.build({"base_model": SMOLLM2, "text_share": share}, given, common)
    finetune(training, folder / "train", folder / "adapter", folder / "curve.html")
    out = folder / "evaluation"
    pages = (folder / "report.html", folder / "summary.md")
    sides = (folder / "train", folder / "test", folder / "adapter")
    evaluate(EvaluateConfig(**common, release=folder.name), *sides, out, *pages)
    return Verdict.read(out / "verdict.json")


def main() -> None:
    """Print the table, a row at a time."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.currency")
    parser.add_argument("curated", type=Path, help="the curate folder of a run on the real base")
    parser.add_argument("knobs", nargs="*", metavar="KNOB=VALUE", help="of finetune")
    given = parser.parse_args()
    print("| trained on | word | ROUGE-L | learned | open | closed | text | kept |")
    print("|---|---|---:|" + "---:|" * len(COLUMNS))
    with tempfile.TemporaryDirectory(prefix="arxtune-currency-") as scratch:
        for number, (name, (closed, share)) in enumerate(WAYS.items()):
            verdict = judged(
                given.curated, Path(scratch) / f"way-{number}", closed, share, given.knobs
            )
            cells = [f"{verdict.comparisons[0].difference:+.3f}"]
            for part, unit in COLUMNS:
                found = find(verdict.currency, part, unit)
                cells.append(
                    f"{found.gain:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" if found else ""
                )
            print(f"| {name} | {verdict.word} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
