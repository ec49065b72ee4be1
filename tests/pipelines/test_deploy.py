"""Deploy, schedule and submit against a server with the rules of Kubeflow Pipelines."""

import argparse
import contextlib
import io
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.shared import images
from components.shared.errors import ClusterError
from components.shared.records import digest
from pipelines import cli
from pipelines.deploy import (
    check_cron,
    ensure_schedule,
    package,
    run_of,
)
from pipelines.kubeflow import Kubeflow
from pipelines.runs import watch
from tests.pipelines.conftest import ROOT
from tests.pipelines.deploying import (
    CRON,
    NEW,
    OLD,
    Arxtune,
    arxtune,
    at,
    quick_and_away_from_home,
    refused,
    server,
)
from tests.pipelines.kubeflow_standin import KubeflowStandIn, argo_tasks

__all__ = ["arxtune", "quick_and_away_from_home", "server"]  # fixtures


def deploy(
    server: KubeflowStandIn, what: tuple[str, str], cron: str = CRON, **more: Any
) -> list[str]:
    """Deploy, and return what was said to be changed."""
    kubeflow = Kubeflow(at(server))
    asked = {"query": "language models", "store": "s3://x", **more}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ensure_schedule(kubeflow, cron, run_of(kubeflow, *what, asked, ""), what[0])
    return said.getvalue().splitlines()


def test_the_first_deploy_creates_everything_and_the_second_nothing(
    server: KubeflowStandIn,
) -> None:
    changes = deploy(server, OLD)
    assert [line.split()[0] for line in changes] == ["create", "upload", "schedule"]
    (schedule,) = server.schedules.values()
    assert schedule["trigger"]["cron_schedule"]["cron"] == CRON
    assert int(schedule["max_concurrency"]) == 1
    assert schedule["no_catchup"] is True
    assert schedule["runtime_config"]["parameters"]["query"] == "language models"
    before = len(server.calls)
    assert deploy(server, OLD) == []
    assert {call.split()[0] for call in server.calls[before:]} == {"GET"}


def test_a_changed_stage_is_one_new_version_and_the_run_in_flight_lives(
    server: KubeflowStandIn,
) -> None:
    deploy(server, OLD)
    running = server.start_run_of(next(iter(server.schedules)))
    assert "upload version arxtune-new" in deploy(server, NEW)
    (schedule,) = server.schedules.values()
    version = schedule["pipeline_version_reference"]["pipeline_version_id"]
    assert server.versions[version]["display_name"] == "arxtune-new"
    assert running["state"] == "RUNNING"


@pytest.mark.parametrize("change", [{"cron": "0 30 4 * * 2"}, {"max_papers": 7}])
def test_another_time_or_parameter_replaces_the_schedule(
    server: KubeflowStandIn, change: dict[str, Any]
) -> None:
    deploy(server, OLD)
    assert len(deploy(server, OLD, **change)) == 2
    assert len(server.schedules) == len(server.versions) == 1


def test_another_version_of_the_server_replaces_the_schedule(server: KubeflowStandIn) -> None:
    deploy(server, OLD)
    running = server.start_run_of(next(iter(server.schedules)))
    server.version = "2.18.0"
    assert len(deploy(server, OLD)) == 2
    assert len(server.schedules) == 1
    assert running["state"] == "RUNNING"


def test_the_right_version_is_found_among_pages_and_a_race_leaves_one_schedule(
    server: KubeflowStandIn,
) -> None:
    deploy(server, OLD)
    (schedule,) = server.schedules.values()
    for number in range(5):
        other = {"display_name": f"other-{number}", "pipeline_id": next(iter(server.pipelines))}
        server.new(server.versions, "version", other)
    server.new(server.schedules, "schedule", {**schedule})
    assert deploy(server, OLD) == ["remove a schedule; its runs go on"]
    assert len(server.schedules) == 1


@pytest.mark.parametrize("fault", [429, 503, "drop", "drop after"])
def test_what_befalls_any_call_is_waited_out_or_mended_by_the_same_deploy(
    server: KubeflowStandIn, fault: int | str
) -> None:
    deploy(server, OLD)
    deploy(server, NEW)
    for number in itertools.count():
        with KubeflowStandIn() as other:
            deploy(other, OLD)
            running = other.start_run_of(next(iter(other.schedules)))
            other.faults = {len(other.calls) + number: fault}
            with contextlib.suppress(ClusterError):
                deploy(other, NEW)
            if max(other.faults) >= len(other.calls):
                break  # every call has been tried
            deploy(other, NEW)
            assert other.state() == server.state(), f"{fault} at {other.calls[max(other.faults)]}"
            assert running["state"] == "RUNNING"
    assert number >= 8


def test_a_multi_user_server_gets_token_namespace_and_a_store_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("right\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("pipelines.deploy.package", lambda arguments: OLD)
    with KubeflowStandIn(multi_user=True, token="right") as server:
        flags = ["--no-manifests", "--host", server.url, "--namespace", "team", "--schedule", CRON]
        monkeypatch.setattr("sys.argv", ["arxtune", "deploy", *flags])
        cli.main()
        (pipeline,) = server.pipelines.values()
        assert pipeline["namespace"] == "team"
        (schedule,) = server.schedules.values()
        store = schedule["runtime_config"]["parameters"]["store"]
        assert store == "s3://mlpipeline/private/team/arxtune"
        (tmp_path / "token").write_text("wrong")
        with pytest.raises(ClusterError, match=r"HTTP 401 no valid token; log in again"):
            Kubeflow(at(server, namespace="team")).find("runs")


def test_a_refusal_and_a_server_that_stays_away_are_one_line(server: KubeflowStandIn) -> None:
    server.forbidden = True
    with pytest.raises(ClusterError, match=r"HTTP 403 .*; ask for the role arxtune-deployer"):
        deploy(server, OLD)
    assert len([call for call in server.calls if "pipelines" in call]) == 1
    with pytest.raises(ClusterError, match=r"cannot reach it: \w+Error; is it up"):
        Kubeflow(at(server, host="http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("version", "fine"),
    [("2.5.0", False), ("2.14.3", False), ("2.16.1", True), ("2.17.0", True), ("unknown", True)],
)
@pytest.mark.parametrize(
    "command",
    [["deploy", "--no-manifests"], ["submit", "--no-wait"], ["schedule", "list"]],
    ids=lambda command: command[0],
)
def test_a_server_that_is_too_old_is_refused_before_anything_changes(
    server: KubeflowStandIn, arxtune: Arxtune, command: list[str], version: str, fine: bool
) -> None:
    server.version = version
    if fine:
        arxtune(*command)
        return
    assert f"is {version}: 2.16 or newer is needed" in refused(arxtune, *command)
    assert server.calls == ["GET /apis/v2beta1/healthz"]


@pytest.mark.parametrize(
    "cron",
    [
        *("0 3 * * 1", "0 0 3 * * 1 2026", "* 0 3 * * 1"),  # the last one: many runs a minute
        *("TZ=Europe/Berlin 0 0 3 * * 1", "CRON_TZ=UTC 0 0 3 * * 1"),
    ],
)
def test_a_wrong_schedule_is_one_line_before_anything_changes(
    server: KubeflowStandIn, arxtune: Arxtune, cron: str
) -> None:
    line = refused(arxtune, "deploy", "--no-manifests", "--schedule", cron)
    assert 'must have six fields in UTC, the second first; "0 0 3 * * 1"' in line
    assert server.calls == []


@pytest.mark.parametrize(
    "cron", [CRON, "@weekly", "@every 12h", "0 0 3 ? JAN-JUN MON,FRI", "0 */15 0-6/2 1,15 * *"]
)
def test_a_right_schedule_is_taken(cron: str) -> None:
    check_cron(cron)


def test_a_changed_line_of_any_stage_is_another_version(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for part in ("components", "pipelines", "images"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "components.shared.images"]

    def names() -> list[str]:
        return subprocess.check_output(command, cwd=copy, text=True).split()

    before = names()
    for place, changed in (
        ("components/scrape/core.py", {0}),
        ("components/promote/core.py", {2}),
        ("components/curate/core.py", {1}),
        ("components/evaluate/core.py", {2}),
        ("components/shared/store.py", {0, 1, 2}),
        ("images/llm/packages.txt", {2}),
        ("images/data/requirements.txt", {1}),
    ):
        with (copy / place).open("a") as file:
            file.write("\n")
        after = names()
        assert {number for number in range(3) if after[number] != before[number]} == changed, place
        before = after
    version, compiled = package(argparse.Namespace(component=[], overlay="existing"))
    assert version == f"arxtune-{digest(compiled)[:12]}"
    assert all(images.name_of(name) in compiled for name in images.STAGES_OF)


def test_a_dry_run_says_what_would_change_and_a_schedule_is_listed_and_removed(
    server: KubeflowStandIn, arxtune: Arxtune
) -> None:
    flags = ("deploy", "--no-manifests", "--schedule", CRON)
    said = arxtune(*flags, "--dry-run")
    assert "would create pipeline arxtune\nwould upload version arxtune-old\nwould sched" in said
    assert {call.split()[0] for call in server.calls} == {"GET"}
    arxtune(*flags)
    assert "nothing to change" in arxtune(*flags, "--dry-run")
    assert "would schedule arxtune-old at @daily" in arxtune(*flags[:3], "@daily", "--dry-run")
    assert f"enabled  arxtune-old, {CRON}" in arxtune("schedule", "list")
    assert "remove a schedule" in arxtune("schedule", "remove")
    assert server.schedules == {}
    assert "there is no schedule" in arxtune("schedule", "remove")
    assert "run run-" in arxtune("submit", "--no-wait")
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["store"] == "s3://mlpipeline/arxtune"


@pytest.mark.parametrize("retries", [False, True], ids=["2.16", "2.17, with retry wrappers"])
def test_watching_tells_each_stages_start_and_end_once(
    server: KubeflowStandIn, capsys: pytest.CaptureFixture[str], retries: bool
) -> None:
    run = server.new(server.runs, "run", {})["run_id"]
    looks = [
        {"scrape": "RUNNING"},
        {"scrape": "RUNNING"},
        {"scrape": "SUCCEEDED", "extract": "RUNNING"},
        {"scrape": "SUCCEEDED", "extract": "FAILED"},
    ]
    for number, look in enumerate(looks):
        details = {"task_details": argo_tasks(look, retries=retries)}
        state = "FAILED" if number == len(looks) - 1 else "RUNNING"
        server.views.append({"state": state, "run_details": details})
    assert watch(Kubeflow(at(server)), run) == "extract"
    lines = [line.split()[1:3] for line in capsys.readouterr().out.splitlines() if "| " in line]
    assert lines == [
        ["scrape", "started"],
        ["scrape", "succeeded"],
        ["extract", "started"],
        ["extract", "failed"],
    ]


def test_watching_outlives_a_server_that_restarts(server: KubeflowStandIn) -> None:
    kubeflow, run = Kubeflow(at(server)), server.new(server.runs, "run", {})["run_id"]
    server.views = [{"state": "SUCCEEDED"}]
    server.faults = {len(server.calls) + number: "drop" for number in range(20)}
    assert watch(kubeflow, run) is None
    server.faults = {len(server.calls): 404}
    with pytest.raises(ClusterError, match="HTTP 404"):
        watch(kubeflow, run)


def test_a_stage_whose_driver_failed_is_named(server: KubeflowStandIn) -> None:
    run = server.new(server.runs, "run", {})["run_id"]
    tasks = argo_tasks({"scrape": "SUCCEEDED", "extract": "DRIVER FAILED"})
    server.views = [{"state": "FAILED", "run_details": {"task_details": tasks}}]
    assert watch(Kubeflow(at(server)), run) == "extract"
