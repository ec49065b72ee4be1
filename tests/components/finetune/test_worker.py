"""What a worker finds in the store is the very training that the stage asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.finetune.base import prepare_base
from components.finetune.config import TINY, FinetuneConfig
from components.finetune.core import finetune
from components.finetune.job import Job, find_start
from components.finetune.worker import get_job, put_request
from components.shared.errors import ConfigError, StoreError
from components.shared.records import write_records
from components.shared.store import FolderStore, open_store, release_log
from tests.builders import example

EXAMPLES = [
    example(triple=f"t{n}", prompt=f"Say {n}: “ü”\n", completion=f"It is {n}.") for n in range(4)
]


def job_of(folder: Path, base: Path, **knobs: Any) -> Job:
    store = FolderStore(folder / "store")
    config = FinetuneConfig(
        store=str(folder / "store"), **{"base_model": str(base), "epochs": 2, **knobs}
    )
    found = prepare_base(config, store, folder / "adapter")
    return Job(config, store, found, EXAMPLES, find_start(config, store, found))


def sent(job: Job, folder: Path) -> Job:
    """Return the job as a worker gets it, which reads the store by another name."""
    request = put_request(job)
    link = folder / "link"
    link.symlink_to(job.config.store)
    return get_job(FolderStore(link), str(link), request, folder / "worker")


@pytest.mark.parametrize(
    "knobs", [{}, {"base_model": TINY}, {"processes": 2, "checkpoint_minutes": 0}]
)
def test_it_is_the_same_training(base: Path, tmp_path: Path, knobs: dict[str, Any]) -> None:
    asked = job_of(tmp_path, base, **knobs)
    got = sent(asked, tmp_path)
    assert got.place == asked.place
    assert got.examples == asked.examples
    assert got.config == asked.config.changed(store=str(tmp_path / "link"))
    assert (Path(got.base.path) / "model.safetensors").is_file()


def test_a_release_made_meanwhile_changes_nothing(base: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    entry = {"base": str(base), "adapter_digest": "first", "prefix": "releases/news/v1"}
    store.append(release_log("news"), entry)
    asked = job_of(tmp_path, base, continue_from="news")
    request = put_request(asked)
    store.append(release_log("news"), entry | {"adapter_digest": "second"})
    got = get_job(store, asked.config.store, request, tmp_path / "worker")
    assert got.start == asked.start
    assert got.place == asked.place


def test_the_same_asked_twice_is_one_request(base: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path, base)
    first = put_request(job)
    assert put_request(job) == first
    assert put_request(replace(job, config=job.config.changed(epochs=3.0))) != first
    assert put_request(replace(job, examples=job.examples[1:])) != first


def test_a_worker_with_other_libraries_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job_of(tmp_path, base)
    request = put_request(asked)
    monkeypatch.setattr("components.finetune.job.LIBRARIES", ("torch",))
    with pytest.raises(ConfigError, match="run stage and workers in the same image"):
        get_job(asked.store, asked.config.store, request, tmp_path / "worker")


def test_a_request_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(StoreError, match="there is no whole requests/none"):
        get_job(store, str(tmp_path / "store"), "requests/none", tmp_path / "worker")


def test_on_more_than_one_node_the_stage_asks_and_collects(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run_on_nodes(config: FinetuneConfig, url: str, request: str) -> None:
        asked.append((config.nodes, request))
        get_job(open_store(url), url, request, tmp_path / "pod").run()

    monkeypatch.setattr("components.finetune.trainjob.run_on_nodes", run_on_nodes)
    write_records(tmp_path / "train/examples.jsonl", EXAMPLES)
    small: dict[str, Any] = {
        "epochs": 1,
        "held_out": 0,
        "lora_r": 4,
        "max_length": 128,
        "packing": False,
    }
    config = FinetuneConfig(store=str(tmp_path / "store"), base_model=str(base), nodes=2, **small)
    finetune(config, tmp_path / "train", tmp_path / "adapter", tmp_path / "curve.html")
    ((nodes, request),) = asked
    assert nodes == 2
    assert (tmp_path / "adapter/weights/adapter_model.safetensors").is_file()
    assert not [*FolderStore(tmp_path / "store").list(request)]
