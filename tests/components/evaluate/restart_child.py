"""The process that test_restart.py kills; forked from a server that has the libraries loaded."""

import os
from collections.abc import Sequence
from pathlib import Path


def evaluate_once(store: str, folders: Sequence[Path], log: Path) -> None:
    """Run evaluate to its end, in batches of two."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    import torch

    from components.evaluate.config import EvaluateConfig
    from components.evaluate.core import evaluate

    torch.set_num_threads(1)
    knobs = {"batch_size": 2, "max_new_tokens": 8, "resamples": 1_000, "min_test_papers": 3}
    evaluate(EvaluateConfig.build({"store": store, **knobs}), *folders)
