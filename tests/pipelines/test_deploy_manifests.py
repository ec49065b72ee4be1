"""Deploy the manifests by the real kubectl to an API with Kubernetes' rules: the wanted state, whatever happens."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.shared import images
from pipelines.manifests import render
from tests.pipelines.deploying import (
    BARE,
    CRDS,
    NAMESPACE,
    SECRETS,
    SOAK,
    UPSTREAM,
    Arxtune,
    a_deploy,
    apply,
    names,
    refused,
)
from tests.pipelines.deploying import arxtune as arxtune
from tests.pipelines.deploying import cluster as cluster
from tests.pipelines.deploying import having_kubeflow as having_kubeflow
from tests.pipelines.deploying import kubeflow as kubeflow
from tests.pipelines.kubeflow_standin import KubeflowStandIn
from tests.pipelines.kubernetes_standin import KubernetesStandIn


@pytest.mark.parametrize(
    "overlay",
    [
        "existing",
        "standalone-minio",
        pytest.param("standalone", marks=SOAK),
        pytest.param("kind", marks=SOAK),
    ],
)
def test_the_first_deploy_creates_everything_and_the_second_changes_nothing(
    overlay: str, having_kubeflow: KubernetesStandIn, kubeflow: KubeflowStandIn, arxtune: Arxtune
) -> None:
    if overlay in BARE:
        having_kubeflow.cluster.kept.clear()
    first = arxtune(*a_deploy(overlay))
    secrets = {
        "secret arxtune-secrets",
        *(["secret mlpipeline-minio-artifact"] if overlay in BARE else []),
    }
    wanted = {
        f"{one['kind'].lower()} {one['metadata']['name']}"
        for one in render(overlay, kfp_manifests=UPSTREAM)
    }
    assert names(first) == wanted | secrets | {"pipeline arxtune", "version arxtune-small"}
    assert all(re.search("created|uploaded", line) for line in first)

    state, events = having_kubeflow.state(), len(having_kubeflow.cluster.events)
    assert arxtune(*a_deploy(overlay)) == ["nothing changed"]
    assert len(having_kubeflow.cluster.events) == events
    assert having_kubeflow.state() == state
    assert len(kubeflow.versions) == 1


def test_what_is_changed_alone_is_changed(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune
) -> None:
    command = a_deploy("existing", "--component", "minio")
    arxtune(*command)
    command += ["--minio-image", "mirror.example/minio@sha256:" + "0" * 64]
    assert arxtune(*command) == ["statefulset minio: changed"]

    def labels() -> dict[str, str]:
        found = having_kubeflow.cluster.kept[
            "networkpolicies.networking.k8s.io", "kubeflow", "arxtune-internet"
        ].object
        return dict(found["spec"]["podSelector"]["matchLabels"])

    assert "arxtune.dev/egress" in labels()
    assert arxtune(*command, "--component", "outside-store") == [
        "networkpolicy arxtune-internet: changed"
    ]
    assert "arxtune.dev/egress" not in labels()  # what the manifests do not say any more goes


def test_what_the_cluster_itself_keeps_is_no_change(
    having_kubeflow: KubernetesStandIn, arxtune: Arxtune
) -> None:
    arxtune(*a_deploy("existing"))

    def use(number: int, after: bool) -> None:
        quota = having_kubeflow.cluster.kept["resourcequotas", "kubeflow", "arxtune-gpus"].object
        quota["status"] = {**quota["status"], "used": {"requests.nvidia.com/gpu": str(number)}}

    having_kubeflow.on_change = use
    assert arxtune(*a_deploy("existing")) == ["nothing changed"]


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
    would = arxtune(
        *command,
        "--dry-run",
        "--minio-image",
        "mirror.example/minio:1",
        "--artifacts",
        "s3://other",
    )
    assert would == [
        "statefulset minio: would be changed",
        "configmap kfp-launcher: would be created",
    ]
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
    assert (
        "there is no Secret arxtune-secrets, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"
        in line
    )
    assert list(cluster.cluster.kept) == [("namespaces", "", "kubeflow")]


def test_no_secret_is_in_arguments_output_or_requests_for_anything_else(
    having_kubeflow: KubernetesStandIn,
    arxtune: Arxtune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spy, words = tmp_path / "bin" / "kubectl", tmp_path / "words"
    spy.parent.mkdir()
    spy.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {words}\nexec {shutil.which("kubectl")} "$@"\n'
    )
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    arxtune(*a_deploy("existing"))
    said = words.read_text() + "".join(arxtune.printed)  # type: ignore[attr-defined]
    assert "create" in said
    assert "arxtune-secrets: created with " + ", ".join(sorted(SECRETS)) in said
    others = [
        kept.object for key, kept in having_kubeflow.cluster.kept.items() if key[0] != "secrets"
    ]
    for value in SECRETS.values():
        assert value not in said
        assert value not in json.dumps(others)


@SOAK
def test_what_another_sets_stays_and_what_we_set_is_set_again(
    cluster: KubernetesStandIn, arxtune: Arxtune
) -> None:
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
    other = {
        "replicas": 3,
        "selector": selector,
        "template": {**pod, "spec": {"containers": [container]}},
    }
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
@pytest.mark.parametrize(
    ("component", "kinds"),
    [
        ("kueue", ["ClusterQueue", "LocalQueue", "ResourceFlavor"]),
        ("external-secrets", ["ExternalSecret"]),
        ("trainer", ["TrainingRuntime"]),
    ],
)
def test_kinds_of_others_are_needed_and_then_used(
    component: str, kinds: list[str], having_kubeflow: KubernetesStandIn, arxtune: Arxtune
) -> None:
    command = a_deploy("existing", "--component", component)
    assert f'no matches for kind "{kinds[0]}"' in refused(arxtune, *command)
    apply(*map(definition, kinds))
    having_kubeflow.cluster.settle()
    assert set(map(str.lower, kinds)) <= {name.split()[0] for name in names(arxtune(*command))}
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
