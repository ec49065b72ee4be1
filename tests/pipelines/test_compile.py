"""The compiled pipeline: the YAML is the same graph, holds no secret, and never changes by
itself."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components
from kfp.compiler import Compiler

from pipelines.arxtune import arxtune
from pipelines.local import tried_once
from pipelines.stages import STAGES


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "arxtune.yaml"
    Compiler().compile(arxtune, str(path))
    return path


@pytest.fixture(scope="module")
def spec(compiled: Path) -> dict[str, Any]:
    pipeline, _platform = yaml.safe_load_all(compiled.read_text("utf-8"))
    return dict(pipeline)


def edges(spec: dict[str, Any]) -> set[tuple[str, str]]:
    """Return (producer, consumer) for all tasks; conditions count as their contents."""
    found = set()
    for name, task in spec["root"]["dag"]["tasks"].items():
        inner = spec["components"][task["componentRef"]["name"]].get("dag", {}).get("tasks")
        for consumer in inner or [name]:
            found |= {(producer, consumer) for producer in task.get("dependentTasks", [])}
    return found


def test_kfp_loads_its_yaml_again(compiled: Path) -> None:
    loaded = components.load_component_from_file(str(compiled))
    assert loaded.pipeline_spec == arxtune.pipeline_spec


def test_the_graph_is_the_line_of_stages(spec: dict[str, Any]) -> None:
    neighbours = set(itertools.pairwise(STAGES))
    assert edges(spec) == neighbours | {
        ("curate", "evaluate"),
        ("curate", "promote"),
        ("finetune", "promote"),
    }


def test_promote_runs_only_for_a_better_adapter(spec: dict[str, Any]) -> None:
    (condition,) = (
        task for name, task in spec["root"]["dag"]["tasks"].items() if name.startswith("condition")
    )
    assert "== 'better'" in condition["triggerPolicy"]["condition"]
    assert "promote" not in spec["root"]["dag"]["tasks"]


def test_scrape_is_never_cached_and_the_rest_is(spec: dict[str, Any]) -> None:
    cached = {
        name: task["cachingOptions"].get("enableCache", False)
        for name, task in spec["root"]["dag"]["tasks"].items()
        if not name.startswith("condition")
    }
    assert cached == {name: name != "scrape" for name in [*STAGES][:-1]}


def test_compiling_twice_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    Compiler().compile(arxtune, str(tmp_path / "again.yaml"))
    assert (tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()


def test_the_yaml_holds_no_secret_and_no_path_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GROQ_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "planted-secret")
    Compiler().compile(arxtune, str(tmp_path / "arxtune.yaml"))
    text = (tmp_path / "arxtune.yaml").read_text("utf-8")
    assert "planted-secret" not in text
    assert str(Path(__file__).parents[2]) not in text
    assert not re.search(r"127\.0\.0\.1|localhost", text)


def test_a_stage_that_fails_here_is_not_tried_again_as_on_a_cluster() -> None:
    once = tried_once(arxtune).pipeline_spec  # type: ignore[attr-defined]
    tasks = [
        task for part in (once.root, *once.components.values()) for task in part.dag.tasks.values()
    ]
    assert len(tasks) >= 8
    assert not any(task.HasField("retry_policy") for task in tasks)
    assert any(
        task.HasField("retry_policy") for task in arxtune.pipeline_spec.root.dag.tasks.values()
    )
