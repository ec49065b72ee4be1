"""A run up to evaluate, laid out as files."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from invented_run import REJECTS, Run, lineage, make_examples, source

from components.evaluate.config import EvaluateConfig
from components.shared.records import write_records


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that lays out a run with good and bad answers."""

    def make(
        papers: int = 9,
        each: int = 8,
        *,
        trained: bool = True,
        answered: bool = True,
        rejects: Sequence[tuple[str, str, str, str]] = REJECTS,
        **knobs: Any,
    ) -> Run:
        config = EvaluateConfig.build(
            {"max_new_tokens": 256, "max_examples": 0},
            {"store": str(tmp_path / "store"), "resamples": 2_000, **knobs},
        )
        run = Run(config, tmp_path, make_examples(papers, each, 40, seed=7))
        train, test, adapter, *_ = run.folders
        write_records(train / "examples.jsonl", make_examples(20, 8, 0, seed=3))
        write_records(test / "examples.jsonl", run.examples)
        write_records(
            test / "sources.jsonl", map(source, sorted({example.paper for example in run.examples}))
        )
        adapter.mkdir()
        about = {"base": "invented-base", "base_path": "", "adapter_digest": "tuned-digest"}
        told = {"base_licence": "Apache-2.0", "examples": 229, "final_loss": 0.412}
        (adapter / "adapter.json").write_text(json.dumps({**about, "trained": trained, **told}))
        if trained:
            steps = [{"step": 3 * number, "loss": 3.1 * 0.9**number} for number in range(1, 31)]
            lines = [json.dumps(step) + "\n" for step in steps]
            (adapter / "steps.jsonl").write_text("".join(lines), "utf-8")
        (adapter / "lineage.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in lineage(rejects)), "utf-8"
        )
        if answered:
            run.answer("base", run.rambling())
            run.answer("tuned-digest", run.good())
        return run

    return make
