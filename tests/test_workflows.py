"""The workflows of CI: valid, with no more rights than they need, and what they call is there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.images import STAGES_OF
from pipelines import cli

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
STOCK = re.compile(r"actions/(checkout|setup-python)@v\d+(\.\d+)*")
# Stands for make, docker and sudo: writes each call's arguments, ends of line escaped.
RECORD = """
make() { printf '%q ' make "$@" >&3; echo >&3; }
docker() { [ "$1" != login ] || cat >/dev/null; printf '%q ' docker "$@" >&3; echo >&3; }
sudo() { :; }
exec 3>&1 >/dev/null
set -e
"""


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows" / name).read_text("utf-8"))
    return found


def steps(workflow: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def validate(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)


def test_every_workflow_is_valid() -> None:
    assert {path.name for path in WORKFLOWS} == {"deploy.yaml", "images.yaml", "test.yaml"}
    result = validate(*WORKFLOWS)
    assert result.returncode == 0, result.stdout


def test_a_workflow_with_a_wrong_word_is_not_valid(tmp_path: Path) -> None:
    text = WORKFLOWS[0].read_text("utf-8")
    (tmp_path / "wrong.yaml").write_text(text.replace("    steps:", "    stepz:"))
    assert "stepz" in validate(tmp_path / "wrong.yaml").stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_the_repository_and_only_a_release_writes(path: Path) -> None:
    workflow = loaded(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        if "permissions" in job:
            assert (name, job["permissions"]) == ("release", {"contents": "write"})
            assert job["if"] == "github.ref_type == 'tag'"
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads the key `on` so
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_stock_actions_of_a_version_alone(path: Path) -> None:
    used = [step["uses"] for step in steps(loaded(path.name)) if "uses" in step]
    assert used
    assert [name for name in used if not STOCK.fullmatch(name)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_secret_and_no_other_expression_stands_in_a_shell_line(path: Path) -> None:
    workflow = loaded(path.name)
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []
    of_all_steps = [
        workflow.get("env", {}),
        *(job.get("env", {}) for job in workflow["jobs"].values()),
    ]
    assert "secrets" not in str(of_all_steps)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_target_and_script_that_a_workflow_calls_is_there(path: Path) -> None:
    called = []
    for step in steps(loaded(path.name)):
        script = step.get("run", "")
        if (ROOT / script).is_file():
            assert os.access(ROOT / script, os.X_OK)
            script = (ROOT / script).read_text("utf-8")
        called += re.findall(r"^\s*make\s+([\w-]+)", script, re.MULTILINE)
    assert called
    for target in called:
        dry_run("make", target)


def dry_run(*command: str) -> str:
    """Return what make would run, without anything that sets up the virtual environment."""
    make, *rest = command
    result = subprocess.run(
        [make, "--dry-run", "--no-print-directory", "--old-file=.venv/ready", *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def recorded(script: str, tmp_path: Path, **environment: str) -> list[str]:
    """Run a step with stand-ins for what it calls, and return their command lines."""
    result = subprocess.run(
        ["bash", "-c", RECORD + script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


def step_of(workflow: str, name: str) -> dict[str, Any]:
    (step,) = (step for step in steps(loaded(workflow)) if step.get("name") == name)
    return step


@pytest.mark.parametrize("schedule", ["", "0 0 3 * * 1"])
def test_deploy_gives_flags_that_the_command_line_takes(schedule: str, tmp_path: Path) -> None:
    where = {"HOST": "https://kubeflow.example/pipeline", "NAMESPACE": "team", "SCHEDULE": schedule}
    lines = [
        line
        for name in ("say what would be done", "deploy")
        for line in recorded(
            step_of("deploy.yaml", name)["run"], tmp_path, ARXTUNE_IMAGES="r/t", TOKEN="t", **where
        )
    ]
    parsed = []
    for line in lines:
        shell = dry_run("make", *unquoted(line)[1:]).removeprefix(".venv/bin/arxtune ")
        parsed.append(cli.parser().parse_args(unquoted(shell)))
    assert [one.dry_run for one in parsed] == [True, False]
    for one in parsed:
        assert one.no_manifests
        assert (one.host, one.namespace, one.schedule) == tuple(where.values())


def unquoted(line: str) -> list[str]:
    """Return the words of a shell line, as the shell itself splits it."""
    result = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split("\0")[:-1]


def test_deploy_hands_the_token_over_in_a_file_of_its_own_that_does_not_stay(
    tmp_path: Path,
) -> None:
    file = '"$KF_PIPELINES_SA_TOKEN_PATH"'
    look = f"make() {{ stat -c %a {file} >&3; cat {file} >&3; echo >&3; }}\n"
    step = step_of("deploy.yaml", "deploy")
    assert recorded(
        look + step["run"], tmp_path, TOKEN="of the account", HOST="h", NAMESPACE="n"
    ) == [
        "600",
        "of the account",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_tag_pushes_the_images_that_make_images_builds_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of("images.yaml", "push")
    assert step["if"] == "github.ref_type == 'tag'"
    monkeypatch.setenv("ARXTUNE_IMAGES", "registry.example/team")
    monkeypatch.setenv("ARXTUNE_TAG", "9.9.9")
    secrets = {"REGISTRY_USER": "me", "REGISTRY_PASSWORD": "known-to-me"}
    where = {"ARXTUNE_IMAGES": "registry.example/team"}
    lines = recorded(step["run"], tmp_path, **secrets, **where)
    assert [line.split()[:2] for line in lines] == [
        ["docker", "login"],
        ["make", "push"],
        ["docker", "logout"],
    ]
    assert "known-to-me" not in str(lines)
    command = [sys.executable, "-m", "components.shared.images"]
    named = subprocess.check_output(command, cwd=ROOT, text=True).split()
    assert re.findall(r"--tag (\S+)", dry_run("make", "images")) == named
    assert all(re.fullmatch(r"registry.example/team/\w+:9.9.9-[0-9a-f]{10}", one) for one in named)
    assert "components.shared.images" in dry_run("make", "push")


def test_a_tag_drafts_a_release_of_what_was_pushed(tmp_path: Path) -> None:
    tell, write, draft = (
        step_of("images.yaml", name)["run"]
        for name in ("tell the digests", "write what is attached", "draft")
    )
    python = f'python() {{ PYTHONPATH="{ROOT}" "{sys.executable}" "$@"; }}\n'
    docker = (
        'docker() { for name in "${@:5}"; do echo "${name%:*}@sha256:of-${name##*/}"; done; }\n'
    )
    where, output = {"ARXTUNE_IMAGES": "registry.example/team"}, tmp_path / "output"
    recorded(python + docker + tell, tmp_path, GITHUB_OUTPUT=str(output), **where)
    digests = output.read_text("utf-8").removeprefix("digests=")
    assert "team" not in digests
    (tmp_path / "build").mkdir()
    called = recorded(python + write, tmp_path, DIGESTS=digests, **where)
    assert called == ["make compile sbom "]
    images = (tmp_path / "build/images.txt").read_text("utf-8").splitlines()
    assert [name.split("/")[2].split(":")[0] for name in images] == list(STAGES_OF)
    for name in images:
        assert name.endswith("@sha256:of-" + name.split("/")[2].split("@")[0])
    (line,) = recorded('gh() { echo "$@" >&3; }\n' + draft, tmp_path, GITHUB_REF_NAME="9.9.9")
    assert line.startswith("release create 9.9.9 --draft --verify-tag")
    attached = {word.split("/")[1] for word in line.split() if word.startswith("build/")}
    assert attached == {"arxtune.yaml", "images.txt", "sbom"}


def test_images_hold_the_code_of_the_stages_that_name_them() -> None:
    for name, stages in STAGES_OF.items():
        assert f"--build-arg STAGES='{' '.join(stages)}'" in dry_run("make", f"image-{name}")
