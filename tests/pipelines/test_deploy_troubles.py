"""Deploy the manifests on bad days and with few rights: waited out, or one clear line; killed and run again, alike."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli, deploy, kubectl
from tests.fork_server import preloading
from tests.pipelines.deploying import SMALL, SOAK, Arxtune, a_deploy, names, refused
from tests.pipelines.deploying import arxtune as arxtune
from tests.pipelines.deploying import cluster as cluster
from tests.pipelines.deploying import having_kubeflow as having_kubeflow
from tests.pipelines.deploying import kubeflow as kubeflow
from tests.pipelines.kubeflow_standin import KubeflowStandIn
from tests.pipelines.kubernetes_standin import KubernetesStandIn


@pytest.mark.parametrize(
    "fault",
    ["drop after", *(pytest.param(fault, marks=SOAK) for fault in (429, 500, 503, "drop", "slow"))],
)
def test_what_passes_is_waited_out(
    fault: int | str,
    having_kubeflow: KubernetesStandIn,
    kubeflow: KubeflowStandIn,
    arxtune: Arxtune,
) -> None:
    step = 17  # of the requests, one in so many: no kubectl makes twice as many in a row
    having_kubeflow.faults = dict.fromkeys(range(step, 40 * step, step), fault)
    arxtune(*a_deploy("existing"))
    assert len(having_kubeflow.calls) > 2 * step
    having_kubeflow.faults = {}
    assert arxtune(*a_deploy("existing")) == ["nothing changed"]
    assert len(kubeflow.versions) == 1


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (401, "must be logged in.*; log in again"),
        (403, r"\(Forbidden\).*; let an account with more rights do it"),
        (503, r"\(ServiceUnavailable\)|unable to handle the request"),
    ],
)
def test_what_does_not_pass_is_one_line(
    fault: int, line: str, having_kubeflow: KubernetesStandIn, arxtune: Arxtune
) -> None:
    having_kubeflow.always = fault
    assert re.search(line, refused(arxtune, *a_deploy("existing")))


def test_a_cluster_that_is_not_there_is_one_line(
    cluster: KubernetesStandIn, arxtune: Arxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cluster.kubeconfig(tmp_path / "away")
    path.write_text(path.read_text().replace(cluster.url, "https://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert re.search(
        "kubectl get: .*127.0.0.1:9.*refused.*; see", refused(arxtune, *a_deploy("standalone"))
    )


def test_pods_that_never_run_are_one_line_that_names_their_workload(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = a_deploy("existing", "--component", "minio")
    having_kubeflow.cluster.never_ready = {"minio"}
    with monkeypatch.context() as patch:
        patch.setattr(kubectl, "ROLLOUT_SECONDS", 2)
        line = refused(arxtune, *command)
    assert re.search(
        "statefulset/minio does not run: .*; kubectl describe statefulset/minio -n kubeflow", line
    )
    having_kubeflow.cluster.never_ready = set()
    assert names(arxtune(*command)) == {"pipeline arxtune", "version arxtune-small"}


def test_the_deployers_own_rights_suffice_once_an_administrator_has_deployed(
    having_kubeflow: KubernetesStandIn,
    kubeflow: KubeflowStandIn,
    arxtune: Arxtune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arxtune(*a_deploy("existing"))
    having_kubeflow.accounts["the deployer's token"] = "kubeflow:arxtune-deployer"
    config = str(having_kubeflow.kubeconfig(tmp_path / "ci", "the deployer's token"))
    monkeypatch.setenv("KUBECONFIG", config)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config
    )  # read when imported
    calls = len(kubeflow.calls)
    assert arxtune(*a_deploy("existing"), host="") == [
        "nothing changed"
    ]  # Kubeflow too is asked through the cluster
    assert "left alone" in arxtune.printed.out  # type: ignore[attr-defined]
    assert len(kubeflow.calls) > calls
    changed = arxtune(
        *a_deploy("existing", "--component", "outside-store", "--schedule", "0 0 3 * * 1"), host=""
    )
    assert names(changed) == {"networkpolicy arxtune-internet", "schedule arxtune"}
    assert arxtune(*a_deploy("existing", "--component", "outside-store", "--dry-run"), host="") == [
        "nothing would change"
    ]
    having_kubeflow.cluster.kept.pop(
        ("rolebindings.rbac.authorization.k8s.io", "kubeflow", "arxtune-deployer")
    )
    assert "(Forbidden)" in refused(arxtune, *a_deploy("existing"), host="")


def test_the_deployers_own_rights_let_it_neither_read_secrets_nor_gain_more(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, tmp_path: Path
) -> None:
    arxtune(*a_deploy("existing"))
    having_kubeflow.accounts["the deployer's token"] = "kubeflow:arxtune-deployer"
    config = str(having_kubeflow.kubeconfig(tmp_path / "ci", "the deployer's token"))

    def kubectl(*arguments: str, stdin: str = "") -> str:
        command = ["kubectl", "--kubeconfig", config, *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False
        ).stderr

    assert "(Forbidden)" in kubectl("get", "secret", "arxtune-secrets", "-n", "kubeflow")
    (role,) = (
        one
        for one in having_kubeflow.cluster.objects
        if one["metadata"]["name"] == "arxtune-pace" and one["kind"] == "Role"
    )
    metadata = {"name": "arxtune-pace", "namespace": "kubeflow"}
    rules = [*role["rules"], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    more = json.dumps(
        {"apiVersion": role["apiVersion"], "kind": "Role", "metadata": metadata, "rules": rules}
    )
    assert "not currently held" in kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=more
    )


def in_a_group_of_its_own(arguments: list[str]) -> None:
    """Run a deploy as a process that can be killed with all that it has started."""
    os.setsid()
    sys.argv = ["arxtune", *arguments]
    deploy.ensure_buckets = lambda urls: []
    sys.modules["pipelines.package"].package = lambda: SMALL  # type: ignore[attr-defined]
    cli.main()


@pytest.mark.parametrize(
    ("every", "carried_out"),
    [(13, True), pytest.param(1, True, marks=SOAK), pytest.param(1, False, marks=SOAK)],
)
def test_killed_at_a_change_and_run_again_ends_alike(
    every: int,
    carried_out: bool,
    cluster: KubernetesStandIn,
    kubeflow: KubeflowStandIn,
    arxtune: Arxtune,
) -> None:
    command = [*a_deploy("standalone-minio"), "--host", kubeflow.url]
    arxtune(*a_deploy("standalone-minio"))
    wanted, changes = cluster.state(), cluster.changes
    victims: list[int] = []

    def kill(number: int, after: bool) -> None:
        if number == target and after is carried_out and victims:
            os.killpg(victims.pop(), signal.SIGKILL)

    cluster.on_change = kill
    context = multiprocessing.get_context("forkserver")
    with preloading("pipelines.cli", "kfp", "tests.pipelines.test_deploy_troubles"):
        for target in range(0, changes, every):
            cluster.cluster.kept.clear()
            cluster.changes = 0
            process = context.Process(target=in_a_group_of_its_own, args=(command,))
            process.start()
            victims.append(process.pid or 0)
            process.join()
            assert process.exitcode == -signal.SIGKILL, f"change {target} of {changes}"
            arxtune(*a_deploy("standalone-minio"))
            assert cluster.state() == wanted, f"killed at change {target}"
