"""Deploy, submit and logs as far as kubectl goes: what it is asked, in order, with secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.shared.errors import ClusterError
from pipelines.kubeflow import Kubeflow
from tests.pipelines.deploying import (
    Arxtune,
    FakeKubectl,
    arxtune,
    at,
    kubectl,
    quick_and_away_from_home,
    refused,
    server,
)
from tests.pipelines.kubeflow_standin import KubeflowStandIn, argo_tasks

__all__ = ["arxtune", "kubectl", "quick_and_away_from_home", "server"]  # fixtures

SLICES = ("endpointslices", json.dumps({"items": [{
    "addressType": "IPv4", "ports": [{"port": 443}], "endpoints": [{"addresses": ["20.1.2.3"]}],
}]}), 0)  # fmt: skip
SERVICE = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
HERE = ("/secrets/arxtune-secrets", json.dumps({"data": {"GROQ_API_KEY": "eA=="}}), 0)
KUBEFLOWS = ("/secrets/mlpipeline-minio-artifact",
             json.dumps({"data": {"accesskey": "YQ==", "secretkey": "Yg=="}}), 0)  # fmt: skip


def test_a_deploy_applies_the_overlay_with_kubectls_own_words(
    arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES, HERE, ("apply", "resourcequota/arxtune-gpus serverside-applied", 0))
    printed = arxtune("deploy")
    assert "resourcequota/arxtune-gpus serverside-applied" in printed
    assert "upload version arxtune-old" in printed
    commands = [command.split()[0] for command, _ in kubectl.calls()]
    assert commands == ["get", "get", "apply"]
    top = (kubectl.folder / "kustomization").read_text()
    assert "20.1.2.3/32" in top
    assert "components/bucket" not in top


def test_a_dry_run_asks_kubectl_for_the_difference_and_changes_nothing(
    server: KubeflowStandIn, arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES, ("diff", "+  nvidia.com/gpu: 4", 1))
    printed = arxtune("deploy", "--dry-run", "--store", "s3://mine/arxtune")
    assert "+  nvidia.com/gpu: 4" in printed
    assert "would upload version arxtune-old" in printed
    assert [command.split()[0] for command, _ in kubectl.calls()] == ["get", "diff"]
    assert "components/bucket" in (kubectl.folder / "kustomization").read_text()
    assert {call.split()[0] for call in server.calls} == {"GET"}


def test_a_dry_run_of_a_bare_cluster_says_that_all_is_new(
    arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES)
    printed = arxtune("deploy", "--overlay", "standalone-minio", "--dry-run")
    assert "all of it would be created" in printed
    assert [command.split()[0] for command, _ in kubectl.calls()] == ["get", "get"]


def test_a_secret_manager_makes_ours_and_kubeflows_is_made_here(
    arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES)
    arxtune("deploy", "--overlay", "standalone", "--component", "external-secrets")
    made = [json.loads(stdin) for command, stdin in kubectl.calls() if "create -f" in command]
    assert [one["metadata"]["name"] for one in made] == ["mlpipeline-minio-artifact"]


def test_a_bare_cluster_gets_kinds_first_and_keys_of_its_own(
    arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES)
    line = refused(arxtune, "deploy", "--overlay", "standalone")
    assert "there is no Secret arxtune-secrets" in line
    calls = kubectl.calls()
    assert [command.split()[0] for command, _ in calls] == [
        *("get", "apply", "wait", "get", "create", "get", "get")
    ]
    (made,) = (json.loads(stdin) for command, stdin in calls if command.startswith("create"))
    assert made["metadata"]["name"] == "mlpipeline-minio-artifact"
    kubectl.answer(SLICES, KUBEFLOWS)
    arxtune("deploy", "--overlay", "standalone")
    calls = kubectl.calls()
    (made,) = (json.loads(stdin) for command, stdin in calls if command.startswith("create"))
    assert made["stringData"] == {
        "ARXTUNE_S3_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
        "ARXTUNE_S3_ACCESS_KEY_ID": "a",
        "ARXTUNE_S3_SECRET_ACCESS_KEY": "b",
    }
    assert all("available" not in command.lower() or "wait" in command for command, _ in calls)
    assert not any(value in command for command, _ in calls for value in ("YQ==", "Yg=="))


@pytest.mark.parametrize("prefix", ["AWS_", "ARXTUNE_S3_"])
def test_keys_of_the_environment_go_to_the_secret_by_names_of_our_own(
    arxtune: Arxtune, kubectl: FakeKubectl, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT_URL"):
        monkeypatch.setenv(prefix + name, f"http://my.{name}")
    monkeypatch.setenv("HF_TOKEN", "of-the-hub")
    monkeypatch.setattr("pipelines.check.base", lambda asked: None)
    kubectl.answer(SLICES)
    line = refused(arxtune, "deploy")
    assert "is in Kubeflow's own; name your bucket by --store" in line
    kubectl.calls()
    arxtune("deploy", "--store", "s3://mine/arxtune")
    (made,) = (json.loads(stdin) for command, stdin in kubectl.calls() if "create -f" in command)
    assert set(made["stringData"]) == {
        *("ARXTUNE_S3_ACCESS_KEY_ID", "ARXTUNE_S3_SECRET_ACCESS_KEY", "ARXTUNE_S3_ENDPOINT_URL"),
        "HF_TOKEN",
    }
    kubectl.answer(SLICES, HERE)
    line = refused(arxtune, "deploy", "--store", "s3://mine/arxtune")
    assert "Secret arxtune-secrets lacks HF_TOKEN, set here; kubectl delete secret" in line


def test_a_push_without_a_token_is_refused_before_it_costs(
    server: KubeflowStandIn, arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    for command in (["submit", "--no-wait"], ["deploy", "--no-manifests"]):
        line = refused(arxtune, *command, "--set", "promote.push_to=team/model")
        assert "promote.push_to='team/model': needs a token; set HF_TOKEN" in line
    assert not server.calls + kubectl.calls()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--overlay", "kind", "--namespace", "team"], "addresses of its own namespace"),
        (["--release", "../x"], "cannot be used"),
        (["--store", "/data"], "no store that pods can share"),
        (["--node-selector", "x"], "--node-selector 'x': must be JSON such as {}"),
        (["--tolerations", "{}"], "must be JSON such as []"),
    ],
)
def test_flags_that_cannot_work_are_one_line(
    arxtune: Arxtune, kubectl: FakeKubectl, flags: list[str], line: str
) -> None:
    kubectl.answer(SLICES)
    assert line in refused(arxtune, "deploy", *flags)
    assert not any(command.startswith("apply") for command, _ in kubectl.calls())


def test_a_kubectl_that_fails_ends_the_deploy(
    server: KubeflowStandIn, arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(SLICES, HERE, ("apply", "Error from server (Forbidden)", 1))
    with pytest.raises(SystemExit):
        arxtune("deploy")
    assert "kubectl apply ended with status 1" in arxtune.error.err  # type: ignore[attr-defined]
    assert server.pipelines == {}


def test_without_a_host_the_kubeconfig_logs_in_and_what_is_not_there_is_said_at_once(
    server: KubeflowStandIn, kubectl: FakeKubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = {"name": "c", "cluster": {"server": server.url}}
    user = {"name": "u", "user": {"token": "t"}}
    here = {"name": "here", "context": {"cluster": "c", "user": "u"}}
    parts = {"clusters": [cluster], "users": [user], "contexts": [here]}
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps({**parts, "current-context": "here"}))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig)
    )
    kubectl.answer(("healthz", "{}", 0))
    assert Kubeflow(at(server, host="")).find("runs") == []
    (_, call) = server.calls
    assert call == f"GET {SERVICE}/apis/v2beta1/runs"
    kubectl.answer(("healthz", "", 1))
    with pytest.raises(ClusterError, match=r"use-context NAME, or --context NAME"):
        Kubeflow(at(server, host=""))


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    annotations = {"workflows.argoproj.io/node-name": node}
    metadata = {"name": name, "annotations": annotations, "creationTimestamp": "2026-01-01"}
    return {"metadata": metadata, "spec": spec}


REPORT = {"uri": "minio://mlpipeline/v2/artifacts/arxtune/run-1/evaluate/x/report"}
TOLD = {"outputs": {"artifacts": {"report": {"artifacts": [{"name": "", **REPORT}]}}}}
PODS = {"items": [
    pod("wf-root", "wf.root(0).root-driver(0)"),
    pod("wf-curate-driver", "wf.root(0).curate-driver(0)"),
    pod("wf-curate-1", "wf.root(0).curate(0).executor(0)"),
    pod("wf-evaluate-1", "wf.root(0).evaluate(0).executor(0)",
        containers=[{"args": [json.dumps(TOLD)]}]),
]}  # fmt: skip


def test_a_run_that_fails_ends_with_the_stages_last_lines_and_its_drivers(
    server: KubeflowStandIn, arxtune: Arxtune, kubectl: FakeKubectl
) -> None:
    kubectl.answer(("/pods", json.dumps(PODS), 0), ("logs", "its last words", 0))
    tasks = argo_tasks({"scrape": "SUCCEEDED", "curate": "FAILED"})
    server.views = [{"state": "FAILED", "run_details": {"task_details": tasks}}]
    with pytest.raises(SystemExit):
        arxtune("submit")
    ended = arxtune.error  # type: ignore[attr-defined]
    assert ended.out.count("its last words") == 2
    assert "failed in curate; arxtune logs run-" in ended.err
    logs = [command for command, _ in kubectl.calls() if command.startswith("logs")]
    assert [command.split()[1] for command in logs] == ["wf-curate-driver", "wf-curate-1"]
    arxtune("logs", "run-1")
    assert sum(command.startswith("logs") for command, _ in kubectl.calls()) == 3
    kubectl.answer(("/pods", '{"items": []}', 0))
    assert "no pod of it is left" in refused(arxtune, "logs", "run-1")


def test_a_run_that_succeeds_ends_with_its_report(
    server: KubeflowStandIn,
    arxtune: Arxtune,
    kubectl: FakeKubectl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    kubectl.answer(("/pods", json.dumps(PODS), 0), ("/artifacts/get", "<html>better</html>", 0))
    server.views = [{"state": "SUCCEEDED"}]
    told = arxtune("submit")
    (report,) = tmp_path.glob("report-run-*.html")
    assert f"report: {report.name}" in told
    assert "better" in report.read_text()
    (asked,) = (command for command, _ in kubectl.calls() if "/artifacts/get" in command)
    assert "key=v2%2Fartifacts%2Farxtune%2Frun-1%2Fevaluate%2Fx%2Freport" in asked
    kubectl.answer(("/pods", '{"items": []}', 0))
    assert "in the dashboard" in arxtune("submit")
