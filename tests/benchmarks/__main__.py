"""Run every benchmark: python -m tests.benchmarks [NAME ...]; prints a table and writes
build/benchmarks.json.

Each benchmark is a function in a module of this package that yields `Ratio`s: ours and the
reference project's way are measured one after the other in the same process, so that the ratio
holds on any machine while the seconds do not.
"""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

NAMES = (
    "extraction", "teacher", "generation", "grounding", "leakage", "deduplication", "search_page", "world", "check", "finetune", "rouge",
)  # fmt: skip


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    rows = []
    for name in sys.argv[1:] or NAMES:
        rows += [
            asdict(ratio) for ratio in importlib.import_module(f"tests.benchmarks.{name}").measure()
        ]
    print(f"{'what':<44} {'the reference':>12} {'arxtune':>12} {'ratio':>8}")
    for row in rows:
        what, reference, ours, ratio = (
            row[name] for name in ("what", "reference", "ours", "ratio")
        )
        print(f"{what:<44} {reference:>12.4g} {ours:>12.4g} {ratio:>7.2f}x")
    out = Path("build/benchmarks.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
