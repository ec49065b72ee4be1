"""A training on several nodes, for real: the pods are processes of this machine that meet as torchrun lets them."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.finetune.base import prepare_base
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.finetune.job import Job
from components.finetune.trainjob import run_on_nodes
from components.finetune.worker import put_request
from components.shared.records import Example, read_records
from components.shared.store import open_store
from tests.components.finetune.children import KNOBS, write_examples
from tests.components.finetune.test_trainjob import CHILD, wait_for
from tests.components.finetune.test_trainjob import (
    api as api,
)  # the fixture: the stand-in of the API server
from tests.components.finetune.trainjob_api import CORE, STAGE_POD, TrainJobServer, run_here


def small(api: TrainJobServer, base: Path, folder: Path, **knobs: Any) -> FinetuneConfig:
    """Let TrainJobs run here, without GPUs, and return the config of a training on two nodes."""
    api.on_create = run_here
    no_gpu = {"name": "main", "image": "llm", "resources": {"limits": {"cpu": "8"}}}
    api.answers[f"{CORE}/pods/stage"] = (200, {**STAGE_POD, "spec": {"containers": [no_gpu]}})
    write_examples(folder)
    knobs = {**KNOBS, "gradient_accumulation": 2, "checkpoint_minutes": 10.0, **knobs}
    return FinetuneConfig(store=str(folder / "store"), base_model=str(base), nodes=2, **knobs)


def test_two_nodes_train_one_adapter(
    api: TrainJobServer, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(api, base, tmp_path, epochs=1.0)
    finetune(config, tmp_path / "train", tmp_path / "adapter", tmp_path / "curve.html")
    about = json.loads((tmp_path / "adapter/adapter.json").read_text("utf-8"))
    assert (about["processes"], about["steps"]) == (2, 4)
    assert (tmp_path / "adapter/weights/adapter_model.safetensors").stat().st_size
    said = capsys.readouterr().out
    assert "examples to train on" in said, "what the first node says is passed on"
    assert said.count("plan: ") == 1


@pytest.mark.soak
def test_the_try_after_one_that_was_ended_goes_on_where_it_was(
    api: TrainJobServer, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(api, base, tmp_path, epochs=40.0)
    api.linger = 1 << 30  # until its processes have ended
    store, examples = (
        open_store(config.store),
        list(read_records(tmp_path / "train/examples.jsonl", Example)),
    )
    request = put_request(Job(config, store, prepare_base(config, store, tmp_path), examples))
    with subprocess.Popen([sys.executable, "-c", CHILD, api.url, request, config.store]) as stage:
        wait_for(
            lambda: any(" steps " in text for lines in api.logs.values() for _, text in list(lines))
        )
        stage.send_signal(signal.SIGTERM)
        assert stage.wait(300) == 143
    (name,) = api.deleted
    assert name == f"arxtune-{request.split('/')[1][:16]}"
    run_on_nodes(config, config.store, request)
    said = capsys.readouterr().out
    assert "an earlier one is being deleted" in said
    assert int(re.findall(r"going on from the checkpoint of step (\d+)", said)[-1]) < 160
    assert any(open_store(config.store).list("adapters"))
