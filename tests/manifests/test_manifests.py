"""What goes on the cluster: every overlay with its components renders, is valid, and keeps to our policy."""

import functools
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components.finetune import trainjob
from components.shared.errors import ConfigError
from pipelines.manifests import COMPONENTS, MANIFESTS, OVERLAYS, kfp_version, render

HERE = Path(__file__).parent
KUBERNETES = "1.33"
CRDS = json.loads((HERE / "schemas" / "crds.json").read_text("utf-8"))
UPSTREAM = (
    "ml-pipeline",
    "seaweedfs",
    "pipeline-runner",
)  # names of the stand-in's objects, which are not ours
# Each component alone and all together; ARXTUNE_ALL=1 tries every set of them.
SETS: list[tuple[str, ...]] = [(), *((name,) for name in COMPONENTS), COMPONENTS]
if os.environ.get("ARXTUNE_ALL"):
    SETS = [
        names
        for size in range(len(COMPONENTS) + 1)
        for names in itertools.combinations(COMPONENTS, size)
    ]
EVERY = [
    pytest.param(o, names, id=f"{o} {'+'.join(names) or 'alone'}")
    for o in OVERLAYS
    for names in SETS
]


@functools.cache
def rendered(overlay: str, components: Sequence[str]) -> list[dict[str, Any]]:
    return render(overlay, components, kfp_manifests=HERE / "upstream")


def ours(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found for found in objects if found["metadata"]["name"] not in UPSTREAM]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in objects:
        for template in templates(found):
            yield f"{found['kind']} {found['metadata']['name']}", template["spec"]


def templates(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the object's templates of pods: its own, or those of the jobs in a TrainingRuntime's JobSet."""
    if found["kind"] == "TrainingRuntime":
        return [
            job["template"]["spec"]["template"]
            for job in found["spec"]["template"]["spec"]["replicatedJobs"]
        ]
    return [found["spec"]["template"]] if "template" in found.get("spec", {}) else []


def validate(found: dict[str, Any]) -> None:
    """Raise unless the object is what its kind's schema says, with no field that the schema does not know."""
    if found["kind"] in CRDS:
        crd = CRDS[found["kind"]]
        assert found["apiVersion"] == crd["apiVersion"]
        assert set(found) <= {"apiVersion", "kind", "metadata", "spec"}
        assert ("namespace" in found["metadata"]) == crd["namespaced"]
        jsonschema.validate(found.get("spec", {}), crd["spec"])
    else:
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_every_combination_renders_and_is_valid(overlay: str, components: Sequence[str]) -> None:
    objects = rendered(overlay, components)
    assert objects
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names))
    for found in objects:
        validate(found)


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_our_pods_meet_the_restricted_standard(overlay: str, components: Sequence[str]) -> None:
    for name, pod in pods(ours(rendered(overlay, components))):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        kinds = {next(iter(set(volume) - {"name"})) for volume in pod.get("volumes", [])}
        assert kinds <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected"}, (
            name
        )
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_our_containers_say_what_they_need_and_which_release(
    overlay: str, components: Sequence[str]
) -> None:
    for name, pod in pods(ours(rendered(overlay, components))):
        for container in pod["containers"]:
            for kind in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    assert is_quantity(container["resources"][kind][resource]), (
                        f"{name}: {kind}.{resource}"
                    )
            gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
            assert gpus == int(gpus), name
            assert re.search(r":(?!latest)[\w.-]+$|@sha256:[0-9a-f]{64}$", container["image"]), (
                container["image"]
            )


def is_quantity(value: object) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?", str(value)) is not None


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_no_secret_value_is_in_it(overlay: str, components: Sequence[str]) -> None:
    objects = rendered(overlay, components)
    assert [found["metadata"]["name"] for found in objects if found["kind"] == "Secret"] == []
    assert "known-to-all" not in json.dumps(objects)
    for _name, pod in pods(ours(objects)):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                if re.search("KEY|SECRET|TOKEN|PASSWORD|_USER", variable["name"]):
                    assert "valueFrom" in variable, variable["name"]


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_selectors_find_what_they_are_for(overlay: str, components: Sequence[str]) -> None:
    objects = rendered(overlay, components)
    labels = [
        template.get("metadata", {}).get("labels", {})
        for found in objects
        for template in templates(found)
    ]
    for found in objects:
        if found["kind"] == "Service":
            wanted = found["spec"]["selector"].items()
            assert any(wanted <= have.items() for have in labels), found["metadata"]["name"]
        if found["kind"] == "RoleBinding":
            assert all(subject.get("namespace") == "kubeflow" for subject in found["subjects"]), (
                found
            )
        if found["kind"] == "ResourceQuota":
            assert set(found["spec"]["hard"]) == {"requests.nvidia.com/gpu"}


def test_minio_takes_the_place_of_seaweedfs_behind_its_name() -> None:
    objects = {
        (found["kind"], found["metadata"]["name"]): found
        for found in rendered("standalone-minio", ())
    }
    assert ("Deployment", "seaweedfs") not in objects
    assert ("PersistentVolumeClaim", "seaweedfs-pvc") not in objects
    service = objects["Service", "seaweedfs"]["spec"]
    assert service["selector"] == {"app": "minio"}
    assert {port["port"]: port["targetPort"] for port in service["ports"]} == {
        9000: 9000,
        8333: 9000,
    }
    assert ("Deployment", "seaweedfs") in {
        (f["kind"], f["metadata"]["name"]) for f in rendered("standalone", ())
    }


def test_minio_may_come_from_a_mirror_by_digest() -> None:
    image = f"mirror.example:5000/minio@sha256:{'0' * 64}"
    (minio,) = (
        found
        for found in render("existing", ["minio"], minio_image=image)
        if found["kind"] == "StatefulSet"
    )
    assert minio["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_the_pods_of_the_pipeline_are_the_ones_that_egress_policies_select() -> None:
    from pipelines.placement import NEEDS

    policies = [
        found["spec"]["podSelector"]
        for found in rendered("existing", ())
        if found["kind"] == "NetworkPolicy"
    ]
    assert {needs.egress for needs in NEEDS.values()} == {"cluster", "internet"}
    (everyone,) = (policy for policy in policies if "matchExpressions" in policy)
    (internet,) = (policy for policy in policies if "matchExpressions" not in policy)
    assert everyone["matchExpressions"][0]["values"] == ["cluster", "internet"]
    assert internet["matchLabels"]["arxtune.dev/egress"] == "internet"


def test_a_training_on_several_nodes_is_a_valid_job_whose_pods_may_meet_and_reach_the_store() -> (
    None
):
    objects = {
        (found["kind"], found["metadata"]["name"]): found
        for found in rendered("existing", ("trainer",))
    }
    (job,) = objects["TrainingRuntime", trainjob.RUNTIME]["spec"]["template"]["spec"][
        "replicatedJobs"
    ]
    assert job["name"] == trainjob.NODE
    assert job["template"]["metadata"]["labels"] == {
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer"
    }
    kubernetes_validate.validate(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "x"},
            "spec": job["template"]["spec"],
        },
        KUBERNETES,
        strict=True,
    )
    template = job["template"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["name"] == trainjob.NODE
    labels = template["metadata"]["labels"]
    chosen = {
        name
        for (kind, name), found in objects.items()
        if kind == "NetworkPolicy"
        and found["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    }
    assert chosen == {"arxtune-cluster", "arxtune-internet", "arxtune-trainer"}
    assert labels["arxtune.dev/egress"] == "internet"
    (source,) = objects["NetworkPolicy", "arxtune-trainer"]["spec"]["ingress"][0]["from"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    assert objects["PersistentVolumeClaim", "arxtune-models"]["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]


def test_a_training_on_several_nodes_gets_the_secrets_of_the_stage() -> None:
    from pipelines.names import OPTIONAL_STORE_KEYS, SECRET, STORE_KEYS
    from pipelines.placement import NEEDS

    (runtime,) = (
        found for found in rendered("existing", ("trainer",)) if found["kind"] == "TrainingRuntime"
    )
    ((_, pod),) = pods([runtime])
    found = {
        v["name"]: v["valueFrom"]["secretKeyRef"]
        for v in pod["containers"][0]["env"]
        if "valueFrom" in v
    }
    assert {name for name, ref in found.items() if not ref.get("optional")} == set(STORE_KEYS)
    assert set(found) == {*STORE_KEYS, *OPTIONAL_STORE_KEYS, *NEEDS["finetune"].secrets}
    assert all(ref["key"] == name and ref["name"] == SECRET for name, ref in found.items())


def test_another_namespace_is_used_everywhere() -> None:
    objects = render("existing", ["kueue"], namespace="team")
    assert {found["metadata"].get("namespace") for found in objects} == {"team", None}
    bindings = [found for found in objects if found["kind"] == "RoleBinding"]
    assert {subject["namespace"] for binding in bindings for subject in binding["subjects"]} == {
        "team"
    }


def test_kubeflow_pipelines_has_one_version_which_is_the_clients() -> None:
    from kfp.version import __version__ as client

    assert kfp_version() == client


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlays_run_settings_are_valid(overlay: str) -> None:
    from pipelines.profile import make_profile

    make_profile(MANIFESTS / "overlays" / overlay / "arxtune.toml", {}, [], base=None)


@pytest.mark.parametrize(
    ("overlay", "components", "message"),
    [("bare", (), "there is no overlay 'bare'"), ("kind", ("gpu",), "there is no component 'gpu'")],
)
def test_a_wrong_name_is_one_line(overlay: str, components: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(overlay, components)


def test_the_gitops_resources_are_valid(tmp_path: Path) -> None:
    from pipelines.package import write_resources

    write_resources(tmp_path / "arxtune.yaml", namespace="kubeflow")
    objects = list(yaml.safe_load_all((tmp_path / "arxtune.yaml").read_text("utf-8")))
    assert [found["kind"] for found in objects] == ["Pipeline", "PipelineVersion"]
    for found in objects:
        validate(found)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", found["metadata"]["name"])
    pipeline, version = objects
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
