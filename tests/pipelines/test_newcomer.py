"""The newcomer's path of docs/cluster.md: what it names is there, and what needs no cluster does what it says."""

import argparse
import functools
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import cli, doctor
from pipelines import kubeflow as kubeflow_module
from pipelines.doctor import examine
from pipelines.doctor.finding import Surroundings
from pipelines.manifests import COMPONENTS, MANIFESTS, OVERLAYS
from tests.pipelines.conftest import ROOT
from tests.pipelines.kubeflow_standin import KubeflowStandIn
from tests.pipelines.test_doctor import NAMESPACE, Services
from tests.pipelines.test_doctor import (
    services as services,
)  # the fixture: kubectl's cluster, as answers on loopback

DOCUMENT = (ROOT / "docs/cluster.md").read_text("utf-8")
Command = list[str]
# The programs that a shell line may call here, in whose place their words are written down.
RECORD = r"""
set -eu
record() { printf '%s\0' "$@"; printf '\n\0'; }
command_not_found_handle() { record "$@"; }
for program in arxtune make docker kubectl; do eval "$program() { record $program \"\$@\"; }"; done
"""
# What belongs to Kubeflow Pipelines and Kubernetes, not to this repository.
ELSEWHERE = {"manifests/kustomize", "--pipelinesStoreKubernetes", "nvidia.com/gpu"}
WRITTEN = {"arxtune.yaml"}  # by the command that names it
PODS = {
    "name": "pods",
    "singularName": "pod",
    "namespaced": True,
    "kind": "Pod",
    "verbs": ["get", "list"],
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "finetune-1", "namespace": "kubeflow"},
    "spec": {"containers": [{"name": "main", "image": "llm"}]},
}


def blocks(document: str) -> str:
    """Return the shell lines of the document, in order."""
    lines = re.findall(r"^ {4}(.*)$", document, re.MULTILINE)
    return "\n".join(line.replace(".venv/bin/arxtune", "arxtune") for line in lines)


def spans(document: str) -> list[str]:
    """Return what stands in backticks outside the shell lines."""
    prose = re.sub(r"^ {4}.*$", "", document, flags=re.MULTILINE)
    return re.findall(r"`([^`]+)`", prose)


def called(script: str) -> list[Command]:
    """Let a shell read the script, and return the words of every command that it would call."""
    nothing_else = {"PATH": "/nonexistent"}
    result = subprocess.run(
        ["/bin/bash", "-c", RECORD + script],
        env=nothing_else,
        capture_output=True,
        text=True,
        check=True,
    )
    return [record.split("\0")[:-1] for record in result.stdout.split("\n\0")[:-1]]


def commands(document: str) -> list[Command]:
    """Return every command of the document: of its shell lines, and those that it names on the way."""
    named = [span for span in spans(document) if re.match(r"(arxtune|make) ", span)]
    return called("\n".join([blocks(document), *named]))


@functools.cache
def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask make what it would run, without what sets up the virtual environment."""
    command = ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/ready", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def arxtune_of(command: Command) -> Command | None:
    """Return the words after `arxtune` of a command that calls it, by itself or through make."""
    if command[0] == "arxtune":
        return command[1:]
    if command[0] == "make" and (
        found := re.search(r"^\.venv/bin/arxtune (.*)$", make(*command[1:]).stdout, re.M)
    ):
        return shlex.split(found[1])
    return None


@functools.cache
def parser() -> argparse.ArgumentParser:
    return cli._parser()


def complaints(document: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what the document names and is not there."""
    found = []
    for command in commands(document):
        if command[0] not in ("arxtune", "make", "docker"):
            found.append(f"no such program: {command[0]}")
        if command[0] == "make" and (result := make(*command[1:])).returncode:
            found.append(result.stderr)
        if words := arxtune_of(command):
            try:
                parser().parse_args(words)
            except SystemExit:
                found.append(capsys.readouterr().err)
    return found + list(unknown_names(document))


def unknown_names(document: str) -> Iterator[str]:
    flags = {
        flag
        for one in subparsers().values()
        for action in one._actions
        for flag in action.option_strings
    }
    for span in spans(document):
        if span.startswith("--") and (name := re.split("[ =]", span)[0]) not in flags | ELSEWHERE:
            yield f"no such flag: {name}"
        for word in span.split():
            is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)+|[\w-]+\.(toml|py|ya?ml|md)", word)
            if (
                is_path
                and word not in ELSEWHERE | WRITTEN
                and not (ROOT / word).exists()
                and not list(MANIFESTS.rglob(word))
            ):
                yield f"no such file: {word}"
        if re.match(r"ARXTUNE_\w+", span) and not variable_is_read(name := span.partition("=")[0]):
            yield f"no such variable: {name}"
    for name in re.findall(r"\]\(([^)#:]+)\)", document):
        if not (ROOT / "docs" / name).exists():
            yield f"no such file: {name}"
    for name in re.findall(
        r"^\| `([\w-]+)`", document.partition("## When something is wrong")[0], re.MULTILINE
    ):
        if name not in OVERLAYS:
            yield f"no such overlay: {name}"
    for name in re.findall(
        r"`([\w-]+)` \(", document.partition("Switch on with")[2].partition("Without a way")[0]
    ):
        if name not in COMPONENTS:
            yield f"no such component: {name}"


def subparsers() -> dict[str, Any]:
    (commands,) = (action for action in parser()._actions if action.choices)
    return dict(commands.choices)  # type: ignore[arg-type]


@functools.cache
def variable_is_read(name: str) -> bool:
    files = (path for where in ("components", "pipelines") for path in (ROOT / where).rglob("*.py"))
    return any(f'"{name}"' in path.read_text("utf-8") for path in files)


def test_every_command_target_flag_overlay_component_and_file_of_the_document_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(commands(DOCUMENT)) >= 15
    assert complaints(DOCUMENT, capsys) == []


@pytest.mark.parametrize(
    ("there", "wrong", "complaint"),
    [
        ("arxtune runs ", "arxtune walks ", "invalid choice: 'walks'"),
        (
            "arxtune submit --max-papers",
            "arxtune submit --most-papers",
            "unrecognized arguments: --most-papers",
        ),
        ("arxtune schedule list", "arxtune schedule lists", "invalid choice: 'lists'"),
        (
            "--overlay standalone-minio --dry-run",
            "--overlay bare --dry-run",
            "invalid choice: 'bare'",
        ),
        ("make setup", "make ready", "No rule to make target 'ready'"),
        ("make setup", "makes setup", "no such program: makes"),
        ("`--minio-image", "`--minios-image", "no such flag: --minios-image"),
        ("| `kind`", "| `kinds`", "no such overlay: kinds"),
        ("`kueue` (", "`queue` (", "no such component: queue"),
        ("`pipelines/placement.py`", "`pipelines/places.py`", "no such file: pipelines/places.py"),
        ("`arxtune.toml`", "`arxtunes.toml`", "no such file: arxtunes.toml"),
        ("`ARXTUNE_GPU`", "`ARXTUNE_CARD`", "no such variable: ARXTUNE_CARD"),
        ("`arxtune schedule remove`", "`arxtune schedule delete`", "invalid choice: 'delete'"),
    ],
)
def test_a_name_that_is_not_there_is_found(
    there: str, wrong: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert there in DOCUMENT
    found = complaints(DOCUMENT.replace(there, wrong, 1), capsys)
    assert any(complaint in one for one in found), found


def test_the_document_tells_all_overlays_and_components() -> None:
    assert [name for name in (*OVERLAYS, *COMPONENTS) if f"`{name}`" not in DOCUMENT] == []


def test_the_images_that_are_pushed_and_looked_for_are_those_that_are_built() -> None:
    found = commands(DOCUMENT)
    (prefix,) = re.findall(r"export ARXTUNE_IMAGES=(\S+)", DOCUMENT)
    built = re.findall(r"--tag (\S+)", make("images", f"ARXTUNE_IMAGES={prefix}").stdout)
    assert [command[2] for command in found if command[:2] == ["docker", "push"]] == built
    looked_for = [
        command[3] for command in found if command[:3] == ["arxtune", "doctor", "--image"]
    ]
    assert looked_for[0] in built


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with no settings of this machine and no patience."""
    for name in [name for name in os.environ if re.match("ARXTUNE_|KF_|AWS_|KUBE", name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kubeflow_module, "PAUSE_SECONDS", 0.001)
    return tmp_path


@pytest.fixture
def arxtune(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command of the document with more flags, and return what it prints; one that fails raises."""

    def run(words: Command, *more: str) -> str:
        monkeypatch.setattr("sys.argv", ["arxtune", *words, *more])
        cli.main()
        return capsys.readouterr().out

    return run


def of_document(*first: str, having: str = "") -> list[Command]:
    """Return the document's commands of arxtune that begin so, in order."""
    found = [words for command in commands(DOCUMENT) if (words := arxtune_of(command))]
    found = [
        words
        for words in found
        if words[: len(first)] == [*first] and (not having or having in words)
    ]
    assert found, f"the document has no arxtune {' '.join(first)} {having}"
    return found


def test_the_way_from_deploy_to_a_recurring_run_works_as_told(
    home: Path, arxtune: Callable[..., str], services: Services
) -> None:
    dry, wanted = of_document("deploy", having="--overlay")
    answers = services.answers
    answers["/api"] = (200, {"kind": "APIVersions", "versions": ["v1"]})
    answers["/apis"] = (200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []})
    answers["/api/v1"] = (
        200,
        {"kind": "APIResourceList", "groupVersion": "v1", "resources": [PODS]},
    )
    answers[f"{NAMESPACE}/pods"] = (200, {"kind": "PodList", "apiVersion": "v1", "items": [POD]})
    answers[f"{NAMESPACE}/pods/finetune-1/log"] = (200, "epoch 1")
    with KubeflowStandIn() as server:
        here = ("--host", server.url)
        assert "pipeline arxtune: would be created" in arxtune(dry, *here, "--no-manifests")
        assert {call.split()[0] for call in server.calls} == {"GET"}

        first = arxtune(wanted, *here, "--no-manifests")
        assert re.findall(r"^(\w+) .*: (?:created|uploaded|0 0 3 \* \* 1)", first, re.M) == [
            "pipeline",
            "version",
            "schedule",
        ]
        state = server.state()
        assert arxtune(wanted, *here, "--no-manifests").startswith("nothing changed\n")
        assert server.state() == state

        for submit in of_document("submit"):
            assert "succeeded" in arxtune(submit, *here)
        parameters = [run["runtime_config"]["parameters"] for run in server.runs.values()]
        assert parameters[0]["node_selector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
        assert parameters[1]["max_papers"] == 20
        assert server.state() == state  # the submitted runs are of the deployed version

        (runs,) = of_document("runs")
        listed = arxtune(runs, *here)
        assert set(server.runs) <= set(listed.split())
        (logs,) = of_document("logs")
        run = next(iter(server.runs))
        assert "epoch 1" in arxtune([run if word == "RUN" else word for word in logs])
        (schedules,) = of_document("schedule", "list")
        assert "enabled" in arxtune(schedules, *here)
        assert "0 0 3 * * 1" in arxtune(schedules, *here)


def test_the_way_from_ci_needs_the_token_alone(
    home: Path, arxtune: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`KF_PIPELINES_SA_TOKEN_PATH`" in DOCUMENT
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(home / "token"))
    (words,) = of_document("deploy", "--no-manifests")
    monkeypatch.setenv("PATH", "")  # no kubectl
    with KubeflowStandIn(multi_user=True, token="right") as server:
        words[words.index("--host") + 1] = server.url
        (home / "token").write_text("right")
        assert "version" in arxtune(words)
        (pipeline,) = server.pipelines.values()
        assert pipeline["namespace"] == words[words.index("--namespace") + 1] == "team"
        assert arxtune(words).startswith("nothing changed\n")


def test_the_resources_for_gitops_are_written(home: Path, arxtune: Callable[..., str]) -> None:
    (words,) = of_document("deploy", "--write-resources")
    assert arxtune(words).startswith("arxtune.yaml: arxtune-")
    kinds = [
        found["kind"] for found in yaml.safe_load_all((home / "arxtune.yaml").read_text("utf-8"))
    ]
    assert kinds == ["Pipeline", "PipelineVersion"]


def test_the_doctor_finds_the_image_that_was_pushed_and_misses_one_that_was_not(
    home: Path,
    arxtune: Callable[..., str],
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        doctor, "DEADLINE_SECONDS", 60.0
    )  # kubectl is slow to start on a busy machine
    words = of_document("doctor", "--image")[0]
    image = words[-1].replace("registry.example", services.address)
    url = f"http://{services.address}"
    more = ("--teacher-url", url, "--hub-url", url, "--host", url, "--store", str(home / "store"))
    path = "/v2/" + image.partition("/")[2].replace(":", "/manifests/")
    assert services.answers[path][0] == 200
    for status, line in (
        (200, f"ok   image            {image}"),
        (404, f"FAIL image            {image} is not there"),
    ):
        services.answers[path] = (status, {})
        with pytest.raises(SystemExit):
            arxtune([*words[:-1], image], *more)
        assert line in capsys.readouterr().out


def test_the_doctor_looks_at_this_machine_within_three_seconds(home: Path) -> None:
    took = []
    for _ in range(3):
        started = time.perf_counter()
        found = examine(
            Surroundings(
                home=str(home), store=str(home / "store"), host="", hub_url="http://127.0.0.1:9"
            )
        )
        took.append(time.perf_counter() - started)
    assert min(took) < 3
    assert {found[name].state for name in ("python", "store read", "store write", "browser")} == {
        "ok"
    }
