"""Deploy against a server with the rules of Kubeflow Pipelines: the wanted state, whatever happens on the way."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import ClusterError, ConfigError
from pipelines import kubeflow as kubeflow_module
from pipelines.kubeflow import Kubeflow
from pipelines.package import Package, content_hash, package
from pipelines.runs import watch
from pipelines.schedule import Schedule, ensure_pipeline, ensure_schedule, plan, schedules
from tests.pipelines.conftest import ROOT
from tests.pipelines.kubeflow_standin import KubeflowStandIn

CRON = "0 0 3 * * 1"
# Two versions of a pipeline as small as the server takes, for tests that deploy many times.
OLD, NEW = (
    Package(f"root: {name}\n---\nplatforms: {{}}\n", f"arxtune-{name}") for name in ("old", "new")
)


@pytest.fixture(autouse=True)
def _quick_and_away_from_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubeflow_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("HOME", str(tmp_path))  # where kfp's client keeps a context


@pytest.fixture
def server() -> Iterator[KubeflowStandIn]:
    with KubeflowStandIn() as standin:
        yield standin


@pytest.fixture(scope="module")
def compiled() -> Package:
    return package()


def changed(compiled: Package) -> Package:
    text = compiled.text.replace("enableCache: true", "enableCache: false", 1)
    return Package(text, f"arxtune-{content_hash(text)[:12]}")


def deploy(
    server: KubeflowStandIn, what: Package, cron: str = CRON, **parameters: Any
) -> list[str]:
    kubeflow = Kubeflow(server.url)
    pipeline, version, changes = ensure_pipeline(kubeflow, what)
    schedule = Schedule("arxtune", cron, {"query": "language models", **parameters})
    return changes + ensure_schedule(kubeflow, schedule, pipeline, version, what.version)


def test_the_first_deploy_creates_everything(server: KubeflowStandIn, compiled: Package) -> None:
    changes = deploy(server, compiled)
    assert [line.split(":")[0].split()[0] for line in changes] == [
        "pipeline",
        "version",
        "schedule",
    ]
    (schedule,) = server.schedules.values()
    assert schedule["trigger"]["cron_schedule"]["cron"] == CRON
    assert int(schedule["max_concurrency"]) == 1
    assert schedule["no_catchup"] is True
    assert schedule["runtime_config"]["parameters"] == {"query": "language models"}


def test_the_second_deploy_changes_nothing(server: KubeflowStandIn, compiled: Package) -> None:
    deploy(server, compiled)
    before = len(server.calls)
    assert deploy(server, compiled) == []
    assert {call.split()[0] for call in server.calls[before:]} == {"GET"}


def test_a_changed_stage_is_one_new_version_and_the_run_in_flight_lives(
    server: KubeflowStandIn, compiled: Package
) -> None:
    deploy(server, compiled)
    (old,) = server.schedules
    running = server.start_run_of(old)
    new = changed(compiled)
    changes = deploy(server, new)
    assert [line for line in changes if "uploaded" in line] == [f"version {new.version}: uploaded"]
    (schedule,) = server.schedules.values()
    version = schedule["pipeline_version_reference"]["pipeline_version_id"]
    assert server.versions[version]["display_name"] == new.version
    assert running["state"] == "RUNNING"
    assert len(server.versions) == 2


@pytest.mark.parametrize("change", [{"cron": "0 30 4 * * 2"}, {"max_papers": 7}])
def test_another_time_or_parameter_is_another_schedule_of_the_same_version(
    server: KubeflowStandIn, compiled: Package, change: dict[str, Any]
) -> None:
    deploy(server, compiled)
    changes = deploy(server, compiled, **change)
    assert len(changes) == 2
    assert len(server.schedules) == len(server.versions) == 1


def test_many_versions_come_in_pages_and_the_right_one_is_found(
    server: KubeflowStandIn, compiled: Package
) -> None:
    deploy(server, compiled)
    (pipeline,) = server.pipelines
    for number in range(5):
        server._new(
            server.versions, "version", {"display_name": f"other-{number}", "pipeline_id": pipeline}
        )
    server.versions = dict(reversed(server.versions.items()))
    assert deploy(server, compiled) == []


@pytest.mark.parametrize("fault", [429, 500, 503, "drop", "drop after", "slow"])
def test_whatever_passes_at_any_call_is_waited_out(
    server: KubeflowStandIn, fault: int | str
) -> None:
    deploy(server, OLD)
    wanted, calls = server.state(), len(server.calls)
    for number in range(calls):
        with KubeflowStandIn() as other:
            other.faults = {number: fault}
            deploy(other, OLD)
            assert other.state() == wanted, f"{fault} at {server.calls[number]}"


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize("carried_out", [False, True], ids=["before it is carried out", "after"])
def test_killed_at_any_call_and_run_again_ends_alike(
    server: KubeflowStandIn, carried_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(server, OLD)
    deploy(server, NEW)
    for number in itertools.count():
        with KubeflowStandIn() as other:
            deploy(other, OLD)
            running = other.start_run_of(next(iter(other.schedules)))
            with monkeypatch.context() as patch, contextlib.suppress(Killed):
                patch.setattr(Kubeflow, "once", killing(Kubeflow.once, number, carried_out))
                deploy(other, NEW)
                break  # it made fewer calls than that: every one of them has been tried
            deploy(other, NEW)
            assert other.state() == server.state(), f"killed at call {number}"
            assert running["state"] == "RUNNING"
    assert number >= 10


def killing(once: Callable[..., Any], number: int, carried_out: bool) -> Callable[..., Any]:
    left = [number]

    def call(self: Kubeflow, what: str, request: Callable[[], Any]) -> Any:
        if "connect" in what:  # makes no request of its own that changes anything
            return once(self, what, request)
        if left[0] == 0:
            if carried_out:
                once(self, what, request)
            raise Killed
        left[0] -= 1
        return once(self, what, request)

    return call


def test_two_schedules_left_by_a_race_become_one(
    server: KubeflowStandIn, compiled: Package
) -> None:
    deploy(server, compiled)
    (schedule,) = server.schedules.values()
    server._new(
        server.schedules, "schedule", {k: v for k, v in schedule.items() if k != "recurring_run_id"}
    )
    deploy(server, compiled)
    assert len(server.schedules) == 1


def test_a_multi_user_server_gets_token_and_namespace(
    compiled: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("right")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    with KubeflowStandIn(multi_user=True, token="right") as server:
        kubeflow = Kubeflow(server.url, namespace="team")
        ensure_pipeline(kubeflow, compiled)
        (pipeline,) = server.pipelines.values()
        assert pipeline["namespace"] == "team"
        (tmp_path / "token").write_text("wrong")
        with pytest.raises(ClusterError, match=r"HTTP 401 no valid token; log in again"):
            ensure_pipeline(Kubeflow(server.url, namespace="team"), compiled)


def test_a_refusal_is_one_line_and_is_not_repeated(
    server: KubeflowStandIn, compiled: Package
) -> None:
    server.forbidden = True
    with pytest.raises(ClusterError, match=r"HTTP 403 .*; ask for the role arxtune-deployer"):
        deploy(server, compiled)
    assert len([call for call in server.calls if "pipelines" in call]) == 1


def test_a_server_that_stays_away_is_one_line() -> None:
    with pytest.raises(ClusterError, match=r"cannot connect|cannot look whether it is up"):
        Kubeflow("http://127.0.0.1:9")


def test_a_schedule_needs_six_fields() -> None:
    with pytest.raises(ConfigError, match="must have six fields"):
        Schedule("arxtune", "0 3 * * 1", {})


def test_the_version_is_named_by_content_alone(compiled: Package) -> None:
    assert package().version == compiled.version
    assert content_hash(compiled.text.replace("kfp-2.17.0", "kfp-2.17.9")) == content_hash(
        compiled.text
    )
    assert changed(compiled).version != compiled.version


def test_watching_a_run_ends_with_it_and_names_the_stage_that_failed(
    server: KubeflowStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    details = {"task_details": [{"display_name": "curate", "state": "FAILED"}]}
    run = server._new(server.runs, "run", {"state": "FAILED", "run_details": details})
    with pytest.raises(ClusterError, match=r"failed in curate; arxtune logs run-"):
        watch(Kubeflow(server.url), run["run_id"], pause=0.01)
    assert "curate" in capsys.readouterr().out


def test_schedules_are_listed_paused_resumed_and_removed(
    server: KubeflowStandIn,
    compiled: Package,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipelines import cli

    deploy(server, compiled)

    def arxtune(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["arxtune", *arguments, "--host", server.url])
        cli.main()
        return capsys.readouterr().out.strip()

    assert "enabled" in arxtune("schedule", "list")
    assert arxtune("schedule", "pause") == "schedule arxtune: paused"
    assert "disabled" in arxtune("schedule", "list")
    assert arxtune("schedule", "resume") == "schedule arxtune: resumed"
    assert arxtune("schedule", "remove") == "schedule arxtune: removed"
    assert schedules(Kubeflow(server.url)) == []
    assert arxtune("runs") == "no runs yet"
    assert "version" in arxtune("deploy", "--no-manifests")
    assert "run run-" in arxtune("submit", "--no-wait")


def test_a_dry_run_asks_and_says_what_would_change(server: KubeflowStandIn) -> None:
    def would(what: Package, cron: str = CRON) -> list[str]:
        before = len(server.calls)
        kubeflow = Kubeflow(server.url)
        lines = list(plan(kubeflow, what, Schedule("arxtune", cron, {"query": "language models"})))
        assert {call.split()[0] for call in server.calls[before:]} == {"GET"}
        return lines

    everything = [
        "pipeline arxtune: would be created",
        "version arxtune-old: would be uploaded",
        f"schedule arxtune: would be {CRON} with arxtune-old",
    ]
    assert would(OLD) == everything == list(plan(None, OLD, Schedule("arxtune", CRON, {})))
    deploy(server, OLD)
    assert would(OLD) == []
    removed = "schedule arxtune: the one before would be removed; its runs would go on"
    assert would(NEW) == [
        "version arxtune-new: would be uploaded",
        f"schedule arxtune: would be {CRON} with arxtune-new",
        removed,
    ]
    assert would(OLD, "@daily") == ["schedule arxtune: would be @daily with arxtune-old", removed]


@pytest.mark.parametrize("flags", [("--overlay", "kind"), ("--component", "kueue")], ids=" ".join)
def test_a_run_that_is_submitted_for_an_overlay_is_of_the_version_that_deploy_uploaded(
    server: KubeflowStandIn, flags: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("ARXTUNE_")]:
        monkeypatch.delenv(name)

    def arxtune(*arguments: str) -> str:
        command = [sys.executable, "-m", "pipelines.cli", *arguments, *flags, "--host", server.url]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    arxtune("deploy", "--no-manifests", "--schedule", CRON)
    assert (
        arxtune("deploy", "--no-manifests", "--schedule", CRON, "--dry-run")
        == "nothing would change\n"
    )
    arxtune("submit", "--no-wait")
    ((version, uploaded),) = server.versions.items()
    (run,) = server.runs.values()
    (schedule,) = server.schedules.values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version
    assert run["runtime_config"]["parameters"] == schedule["runtime_config"]["parameters"]
    # Without the flag it would be another one.
    assert uploaded["display_name"] != package().version
