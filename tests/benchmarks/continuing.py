"""Ten weeks of a growing corpus: train afresh each week, go on from last week's adapter, or go on
with the week's new rows alone? `python -m tests.benchmarks.continuing` prints a table, by the small
real model, in about ten minutes.

Each way trains each week on what there is by then, by the recipe for real bases on a CPU, and is
scored in the end on papers that none has seen.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.finetune.config import CPU_RECIPE, FinetuneConfig
from components.finetune.encode import Encoded, encode
from components.finetune.train import Data, build_trainer
from components.shared.bases import SMOLLM2, locate
from components.shared.models import load_tokenizer
from tests.benchmarks.finetune import held_out_loss, quoting_examples

WEEKS, ROWS_A_WEEK, WATCHED = 10, 4, 40
WAYS = {
    "afresh, on all rows": (False, WEEKS),
    "continued, on all rows": (True, WEEKS),
    "continued, on new rows": (True, 1),
}


def weeks(rows: Sequence[Encoded], back: int) -> Iterator[Sequence[Encoded]]:
    """Yield what each week trains on: the rows of up to `back` weeks."""
    for week in range(1, WEEKS + 1):
        yield rows[max(0, week - back) * ROWS_A_WEEK : week * ROWS_A_WEEK]


def train(base: str, rows: Sequence[Encoded], continued: bool, back: int) -> tuple[float, float]:
    """Return the held-out loss after the last week, in nats a token, and the seconds of all."""
    data, watched = rows[: WEEKS * ROWS_A_WEEK], rows[-WATCHED:]
    start, seconds = None, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for week, part in enumerate(weeks(data, back)):
            folder = Path(scratch) / str(week)
            trainer = build_trainer(FinetuneConfig(**CPU_RECIPE), base, Data(part), folder, start)
            trainer.train()
            seconds += trainer.progress.seconds
            if continued:
                start = folder / "adapter"
                trainer.model.save_pretrained(str(start))
        return held_out_loss(trainer.model, watched), seconds


def main() -> None:
    """Print a line a way."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    base = locate(SMOLLM2)
    rows = encode(load_tokenizer(base), quoting_examples(1000))
    print(f"base alone: held-out loss {base_loss(base, rows[-WATCHED:]):.3f}", flush=True)
    for way, (continued, back) in WAYS.items():
        loss, seconds = train(base, rows, continued, back)
        print(f"{way}: held-out loss {loss:.3f}, {seconds:.0f} s", flush=True)


def base_loss(base: str, watched: Sequence[Encoded]) -> float:
    from components.shared.models import load_base

    return held_out_loss(load_base(base, "none"), watched)


if __name__ == "__main__":
    main()
