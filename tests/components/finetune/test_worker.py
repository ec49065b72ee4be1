"""What a worker finds in the store is the very training that the stage asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.finetune.base import prepare_base
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.finetune.train import Training, find_start, run
from components.finetune.worker import get_request, put_request
from components.shared.errors import ConfigError, StoreError
from components.shared.records import write_records
from components.shared.releases import Release
from components.shared.store import FolderStore, open_store
from tests.builders import example

EXAMPLES = [
    example(triple=f"t{n}", prompt=f"Say {n}: “ü”\n", completion=f"It is {n}.") for n in range(4)
]


def training_of(folder: Path, base: Path, **knobs: Any) -> Training:
    store = FolderStore(folder / "store")
    given = {"store": str(folder / "store"), "base_model": str(base), "epochs": 2.0, **knobs}
    config = FinetuneConfig(**given)
    found = prepare_base(config, store, folder / "adapter")
    return Training(config, store, found, EXAMPLES, find_start(config, store, found))


@pytest.mark.parametrize("knobs", [{}, {"processes": 2, "checkpoint_minutes": 0.0}])
def test_a_worker_that_knows_the_store_by_another_name_trains_the_same(
    base: Path, tmp_path: Path, knobs: dict[str, Any]
) -> None:
    asked = training_of(tmp_path, base, **knobs)
    request = put_request(asked)
    assert put_request(asked) == request
    link = tmp_path / "link"
    link.symlink_to(asked.config.store)
    got = get_request(FolderStore(link), str(link), request, tmp_path / "worker")
    assert got.key == asked.key
    assert got.examples == asked.examples
    assert got.config == asked.config.changed(store=str(link))


def test_the_release_to_go_on_from_travels_with_the_request(base: Path, tmp_path: Path) -> None:
    start = Release(version=1, base="b", adapter_digest="first", prefix="releases/news/v1")
    asked = replace(training_of(tmp_path, base), start=start)
    request = put_request(asked)
    got = get_request(asked.store, asked.config.store, request, tmp_path / "worker")
    assert (got.start, got.prefix) == (asked.start, asked.prefix)
    assert got.prefix != replace(asked, start=None).prefix


def test_a_worker_with_other_libraries_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = training_of(tmp_path, base)
    request = put_request(asked)
    monkeypatch.setattr("components.finetune.train.LIBRARIES", ("torch",))
    with pytest.raises(ConfigError, match="run stage and workers in the same image"):
        get_request(asked.store, asked.config.store, request, tmp_path / "worker")


def test_a_request_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(StoreError, match="request requests/none is incomplete"):
        get_request(store, str(tmp_path / "store"), "requests/none", tmp_path / "worker")


def test_on_more_than_one_node_the_stage_asks_and_collects(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run_on_nodes(config: FinetuneConfig, url: str, request: str) -> None:
        asked.append((config.nodes, request))
        run(get_request(open_store(url), url, request, tmp_path / "pod"))

    monkeypatch.setattr("components.finetune.trainjob.run_on_nodes", run_on_nodes)
    write_records(tmp_path / "train/examples.jsonl", EXAMPLES)
    small: dict[str, Any] = {"epochs": 1.0, "held_out": 0.0, "lora_r": 4, "max_length": 128}
    config = FinetuneConfig(
        store=str(tmp_path / "store"), base_model=str(base), nodes=2, packing=False, **small
    )
    finetune(config, tmp_path / "train", tmp_path / "adapter", tmp_path / "curve.html")
    ((nodes, request),) = asked
    assert nodes == 2
    assert (tmp_path / "adapter/weights/adapter_model.safetensors").is_file()
    assert not [*FolderStore(tmp_path / "store").list(request)]
