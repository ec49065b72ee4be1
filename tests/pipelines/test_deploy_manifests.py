"""Deploy the manifests by the real kubectl to an API with Kubernetes' rules: the wanted state, whatever happens."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.shared import images
from pipelines import cli, deploy, kubectl
from pipelines import kubeflow as kubeflow_module
from pipelines.manifests import render
from pipelines.package import Package
from tests.fork_server import preloading
from tests.pipelines.kubeflow_standin import KubeflowStandIn
from tests.pipelines.kubernetes_standin import KubernetesStandIn

HERE = Path(__file__).parent
UPSTREAM = HERE.parent / "manifests" / "upstream"
CRDS = json.loads((HERE.parent / "manifests" / "schemas" / "crds.json").read_text("utf-8"))
KEYS = {"AWS_ACCESS_KEY_ID": "an-access-key", "AWS_SECRET_ACCESS_KEY": "a-secret-access-key"}
SECRETS = {**KEYS, "GROQ_API_KEY": "a-groq-key", "HF_TOKEN": "a-hub-token"}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}
SMALL = Package("root: small\n---\nplatforms: {}\n", "arxtune-small")
BARE = ("standalone", "standalone-minio", "kind")
SOAK = pytest.mark.soak
Arxtune = Callable[..., list[str]]


@pytest.fixture
def kubeflow() -> Iterator[KubeflowStandIn]:
    with KubeflowStandIn() as standin:
        yield standin


@pytest.fixture
def cluster(kubeflow: KubeflowStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesStandIn]:
    """A bare cluster that kubectl is logged in to, with nobody's settings, little patience and no S3."""
    for name in [name for name in os.environ if re.match("ARXTUNE_|KF_|AWS_|KUBE|GROQ|HF_", name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl keeps what it has discovered
    monkeypatch.setattr(kubeflow_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(deploy, "ensure_buckets", lambda urls: [])
    with KubernetesStandIn(kubeflow.url) as standin:
        monkeypatch.setenv("KUBECONFIG", str(standin.kubeconfig(tmp_path / "kubeconfig")))
        yield standin


@pytest.fixture
def having_kubeflow(cluster: KubernetesStandIn, monkeypatch: pytest.MonkeyPatch) -> KubernetesStandIn:
    """A cluster as the overlay `existing` wants it, and the keys of its store."""
    apply(NAMESPACE)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return cluster


@pytest.fixture
def arxtune(
    cluster: KubernetesStandIn,
    kubeflow: KubeflowStandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Arxtune:
    """Run a command, of a small pipeline, and return the lines that it printed; then the cluster comes to rest."""
    monkeypatch.setattr("pipelines.package.package", lambda: SMALL)

    def run(*arguments: str, host: str = kubeflow.url) -> list[str]:
        here = ["--host", host] if host else []
        monkeypatch.setattr("sys.argv", ["arxtune", *arguments, *here])
        capsys.readouterr()
        try:
            cli.main()
        finally:
            run.printed = capsys.readouterr()  # type: ignore[attr-defined]
            cluster.cluster.settle()
        lines = run.printed.out.splitlines()  # type: ignore[attr-defined]
        return [line for line in lines if not line.startswith(("| ", "dashboard: "))]

    return run


def refused(arxtune: Arxtune, *arguments: str, **more: str) -> str:
    """Run a command that must fail, and return its one line."""
    with pytest.raises(SystemExit) as end:
        arxtune(*arguments, **more)
    assert end.value.code == 1
    (line,) = arxtune.printed.err.splitlines()  # type: ignore[attr-defined]
    return str(line)


def apply(*objects: dict[str, Any], manager: str = "someone-else", force: bool = False) -> None:
    flags = ["--server-side", f"--field-manager={manager}", *(["--force-conflicts"] if force else [])]
    text = "\n---\n".join(json.dumps(found) for found in objects)
    subprocess.run(["kubectl", "apply", *flags, "-f", "-"], input=text, text=True, check=True, capture_output=True)


def a_deploy(overlay: str, *more: str) -> list[str]:
    return ["deploy", "--overlay", overlay, "--kfp-manifests", str(UPSTREAM), *more]


def names(lines: list[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}


@pytest.mark.parametrize(
    "overlay",
    ["existing", "standalone-minio", pytest.param("standalone", marks=SOAK), pytest.param("kind", marks=SOAK)],
)
def test_the_first_deploy_creates_everything_and_the_second_changes_nothing(
    overlay: str, having_kubeflow: KubernetesStandIn, kubeflow: KubeflowStandIn, arxtune: Arxtune
) -> None:
    if overlay in BARE:
        having_kubeflow.cluster.kept.clear()
    first = arxtune(*a_deploy(overlay))
    secrets = {"secret arxtune-secrets", *(["secret mlpipeline-minio-artifact"] if overlay in BARE else [])}
    wanted = {f"{one['kind'].lower()} {one['metadata']['name']}" for one in render(overlay, kfp_manifests=UPSTREAM)}
    assert names(first) == wanted | secrets | {"pipeline arxtune", "version arxtune-small"}
    assert all(re.search("created|uploaded", line) for line in first)

    state, events = having_kubeflow.state(), len(having_kubeflow.cluster.events)
    assert arxtune(*a_deploy(overlay)) == ["nothing changed"]
    assert len(having_kubeflow.cluster.events) == events
    assert having_kubeflow.state() == state
    assert len(kubeflow.versions) == 1


def test_what_is_changed_alone_is_changed(having_kubeflow: KubernetesStandIn, arxtune: Arxtune) -> None:
    command = a_deploy("existing", "--component", "minio")
    arxtune(*command)
    command += ["--minio-image", "mirror.example/minio@sha256:" + "0" * 64]
    assert arxtune(*command) == ["statefulset minio: changed"]

    def labels() -> dict[str, str]:
        found = having_kubeflow.cluster.kept["networkpolicies.networking.k8s.io", "kubeflow", "arxtune-internet"].object
        return dict(found["spec"]["podSelector"]["matchLabels"])

    assert "arxtune.dev/egress" in labels()
    assert arxtune(*command, "--component", "outside-store") == ["networkpolicy arxtune-internet: changed"]
    assert "arxtune.dev/egress" not in labels()  # what the manifests do not say any more goes


def test_a_dry_run_says_what_would_be_created_and_changed_and_changes_nothing(
    cluster: KubernetesStandIn, kubeflow: KubeflowStandIn, arxtune: Arxtune
) -> None:
    command = a_deploy("standalone-minio")
    would = arxtune(*command, "--dry-run")
    assert cluster.cluster.events == []
    assert kubeflow.calls == []  # it would be installed by this very deploy
    assert all("would be" in line for line in would)
    assert names(would) == names(arxtune(*command))

    state, server = cluster.state(), kubeflow.state()
    assert arxtune(*command, "--dry-run") == ["nothing would change"]
    would = arxtune(*command, "--dry-run", "--minio-image", "mirror.example/minio:1", "--artifacts", "s3://other")
    assert would == ["statefulset minio: would be changed", "configmap kfp-launcher: would be created"]
    assert cluster.state() == state
    assert kubeflow.state() == server


def test_a_secret_that_is_there_stays_as_it_is(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, monkeypatch: pytest.MonkeyPatch
) -> None:
    arxtune(*a_deploy("existing"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("HF_TOKEN", "one more")
    before = having_kubeflow.state()
    assert arxtune(*a_deploy("existing")) == ["nothing changed"]
    assert having_kubeflow.state() == before


def test_without_keys_nothing_is_applied(cluster: KubernetesStandIn, arxtune: Arxtune) -> None:
    apply(NAMESPACE)
    line = refused(arxtune, *a_deploy("existing"))
    assert "there is no Secret arxtune-secrets, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" in line
    assert {resource for resource, _, _ in cluster.cluster.kept} == {
        "namespaces",
        "priorityclasses.scheduling.k8s.io",
    }


def test_no_secret_is_in_arguments_output_or_requests_for_anything_else(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy, words = tmp_path / "bin" / "kubectl", tmp_path / "words"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {words}\nexec {shutil.which("kubectl")} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    arxtune(*a_deploy("existing"))
    said = words.read_text() + "".join(arxtune.printed)  # type: ignore[attr-defined]
    assert "create" in said
    assert "arxtune-secrets: created with " + ", ".join(sorted(SECRETS)) in said
    others = [kept.object for key, kept in having_kubeflow.cluster.kept.items() if key[0] != "secrets"]
    for value in SECRETS.values():
        assert value not in said
        assert value not in json.dumps(others)


@pytest.mark.parametrize(
    "fault", ["drop after", *(pytest.param(fault, marks=SOAK) for fault in (429, 500, 503, "drop", "slow"))]
)
def test_what_passes_is_waited_out(
    fault: int | str, having_kubeflow: KubernetesStandIn, kubeflow: KubeflowStandIn, arxtune: Arxtune
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
    assert re.search("kubectl get: .*127.0.0.1:9.*refused.*; see", refused(arxtune, *a_deploy("standalone")))


def test_pods_that_never_run_are_one_line_that_names_their_workload(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = a_deploy("existing", "--component", "minio")
    having_kubeflow.cluster.never_ready = {"minio"}
    with monkeypatch.context() as patch:
        patch.setattr(kubectl, "ROLLOUT_SECONDS", 2)
        line = refused(arxtune, *command)
    assert re.search("statefulset/minio does not run: .*; kubectl describe statefulset/minio -n kubeflow", line)
    having_kubeflow.cluster.never_ready = set()
    assert names(arxtune(*command)) == {"pipeline arxtune", "version arxtune-small"}


@SOAK
def test_what_another_sets_stays_and_what_we_set_is_set_again(cluster: KubernetesStandIn, arxtune: Arxtune) -> None:
    arxtune(*a_deploy("standalone"))
    named = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ml-pipeline", "namespace": "kubeflow"},
    }
    key = ("deployments.apps", "kubeflow", "ml-pipeline")
    selector = cluster.cluster.kept[key].object["spec"]["selector"]
    pod = {"metadata": {"labels": {"app": "ml-pipeline"}}}
    container = {"name": "ml-pipeline-api-server", "image": "other"}
    other = {"replicas": 3, "selector": selector, "template": {**pod, "spec": {"containers": [container]}}}
    apply({**named, "spec": other}, manager="hpa", force=True)
    assert arxtune(*a_deploy("standalone")) == ["deployment ml-pipeline: changed"]
    spec = cluster.cluster.kept[key].object["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["containers"][0]["image"].startswith("ghcr.io/kubeflow/")
    assert arxtune(*a_deploy("standalone")) == ["nothing changed"]


def test_a_job_whose_pods_are_others_is_made_anew(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = a_deploy("existing", "--component", "lifecycle")
    arxtune(*command)
    monkeypatch.setattr(images, "TAG", "0.2.0")
    before = having_kubeflow.state()
    assert arxtune(*command, "--dry-run") == ["job arxtune-lifecycle: would be made anew"]
    assert having_kubeflow.state() == before
    assert arxtune(*command) == ["job arxtune-lifecycle: made anew"]
    assert arxtune(*command) == ["nothing changed"]


@SOAK
def test_kinds_of_others_are_needed_and_then_used(having_kubeflow: KubernetesStandIn, arxtune: Arxtune) -> None:
    command = a_deploy("existing", "--component", "kueue")
    assert 'no matches for kind "ClusterQueue"' in refused(arxtune, *command)
    apply(*(definition(kind) for kind in ("ResourceFlavor", "ClusterQueue", "LocalQueue")))
    having_kubeflow.cluster.settle()
    assert {"resourceflavor arxtune-gpu", "clusterqueue arxtune", "localqueue arxtune"} <= names(arxtune(*command))
    assert arxtune(*command) == ["nothing changed"]


def definition(kind: str) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind of another project."""
    crd = CRDS[kind]
    group, _, version = crd["apiVersion"].partition("/")
    schema = {
        "type": "object",
        "properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True, "type": "object"}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if crd["namespaced"] else "Cluster",
            "names": {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }  # fmt: skip


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
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config)  # read when imported
    calls = len(kubeflow.calls)
    assert arxtune(*a_deploy("existing"), host="") == ["nothing changed"]  # Kubeflow too is asked through the cluster
    assert "left alone" in arxtune.printed.out  # type: ignore[attr-defined]
    assert len(kubeflow.calls) > calls
    changed = arxtune(*a_deploy("existing", "--component", "outside-store", "--schedule", "0 0 3 * * 1"), host="")
    assert names(changed) == {"networkpolicy arxtune-internet", "schedule arxtune"}
    assert arxtune(*a_deploy("existing", "--component", "outside-store", "--dry-run"), host="") == [
        "nothing would change"
    ]
    having_kubeflow.cluster.kept.pop(("rolebindings.rbac.authorization.k8s.io", "kubeflow", "arxtune-deployer"))
    assert "(Forbidden)" in refused(arxtune, *a_deploy("existing"), host="")


def test_the_deployers_own_rights_let_it_neither_read_secrets_nor_gain_more(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune, tmp_path: Path
) -> None:
    arxtune(*a_deploy("existing"))
    having_kubeflow.accounts["the deployer's token"] = "kubeflow:arxtune-deployer"
    config = str(having_kubeflow.kubeconfig(tmp_path / "ci", "the deployer's token"))

    def kubectl(*arguments: str, stdin: str = "") -> str:
        command = ["kubectl", "--kubeconfig", config, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False).stderr

    assert "(Forbidden)" in kubectl("get", "secret", "arxtune-secrets", "-n", "kubeflow")
    (role,) = (
        one
        for one in having_kubeflow.cluster.objects
        if one["metadata"]["name"] == "arxtune-pace" and one["kind"] == "Role"
    )
    metadata = {"name": "arxtune-pace", "namespace": "kubeflow"}
    rules = [*role["rules"], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    more = json.dumps({"apiVersion": role["apiVersion"], "kind": "Role", "metadata": metadata, "rules": rules})
    assert "not currently held" in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=more)


def in_a_group_of_its_own(arguments: list[str]) -> None:
    """Run a deploy as a process that can be killed with all that it has started."""
    os.setsid()
    sys.argv = ["arxtune", *arguments]
    deploy.ensure_buckets = lambda urls: []
    sys.modules["pipelines.package"].package = lambda: SMALL  # type: ignore[attr-defined]
    cli.main()


@pytest.mark.parametrize(
    ("every", "carried_out"), [(13, True), pytest.param(1, True, marks=SOAK), pytest.param(1, False, marks=SOAK)]
)
def test_killed_at_a_change_and_run_again_ends_alike(
    every: int, carried_out: bool, cluster: KubernetesStandIn, kubeflow: KubeflowStandIn, arxtune: Arxtune
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
    with preloading("pipelines.cli", "kfp", "tests.pipelines.test_deploy_manifests"):
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
