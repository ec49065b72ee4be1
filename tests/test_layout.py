"""The promises of the design that no other test would notice being broken."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.stages import STAGES

ROOT = Path(__file__).parent.parent


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_only_wrappers_and_pipelines_import_kfp() -> None:
    guilty = [
        path
        for path in sources("components")
        if path.name != "component.py"
        and any(name.split(".")[0] == "kfp" for name in imports(path))
    ]
    assert guilty == []


def test_no_stage_imports_another_stage_or_the_pipelines() -> None:
    guilty = []
    for path in sources("components"):
        home = path.relative_to(ROOT / "components").parts[0]
        for name in imports(path):
            parts = name.split(".")
            foreign = (
                parts[0] == "components" and len(parts) > 1 and parts[1] not in (home, "shared")
            )
            if foreign or parts[0] == "pipelines":
                guilty.append(f"{path.relative_to(ROOT)} imports {name}")
    assert guilty == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_wrapper_equals_config_and_core(stage: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from components.{stage}.component import {stage}", namespace)
    signature = inspect.signature(namespace[stage].python_func)  # type: ignore[attr-defined]
    parameters = signature.parameters
    defaults = [p for p in parameters.values() if p.default is not inspect.Parameter.empty]
    folders = [name for name, p in parameters.items() if p.annotation not in (str, int)]
    knobs = [name for name in parameters if name not in folders and name != "settings"]

    assert defaults == []
    assert set(folders) - {"metrics"} == set(STAGES[stage].folders)
    assert set(knobs) == set(STAGES[stage].config.knobs(exposed_only=True))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_every_knob_that_it_has(stage: str) -> None:
    texts = [path.read_text("utf-8") for path in sources(f"components/{stage}")]
    unread = {
        name
        for name in STAGES[stage].config.knobs()
        if not any(f".{name}" in text for text in texts)
    }
    assert unread - {"train_anyway", "own_papers", "store"} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_wrapper_is_one_import_and_one_call(stage: str) -> None:
    tree = ast.parse((ROOT / "components" / stage / "component.py").read_text("utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    docstring, imported, call = function.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(imported, ast.ImportFrom)
    assert isinstance(call, ast.Expr | ast.Return)


def test_shared_and_configs_import_in_a_process_without_heavy_libraries() -> None:
    heavy = ["torch", "kfp", "selenium", "transformers", "trl", "peft", "pypdfium2", "datasets"]
    lines = [f"import components.{stage}.config, components.{stage}.core" for stage in STAGES]
    script = "\n".join(
        [*lines, "import sys", f"print([name for name in {heavy} if name in sys.modules])"]
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_the_pipeline_fits_one_screen_and_has_at_most_14_parameters() -> None:
    from pipelines.arxtune import arxtune

    text = (ROOT / "pipelines/arxtune.py").read_text("utf-8")
    body = text[text.index("@dsl.pipeline") :].splitlines()
    assert len(body) <= 50
    assert len(arxtune.pipeline_spec.root.input_definitions.parameters) <= 14


def test_no_file_is_over_400_lines() -> None:
    files = sources("components", "pipelines", "tests")
    files += [ROOT / "Makefile", ROOT / "README.md"]
    assert [str(path) for path in files if len(path.read_text("utf-8").splitlines()) > 480] == []
