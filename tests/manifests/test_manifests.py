"""What goes on the cluster: every overlay renders, is valid, and keeps to our policy."""

import argparse
import functools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components.shared import images
from components.shared.errors import ConfigError
from pipelines.manifests import COMPONENTS, MANIFESTS, OVERLAYS, prepare
from pipelines.names import OPTIONAL_STORE_KEYS, SECRET, STORE_KEYS
from pipelines.placement import NEEDS, Needs

HERE = Path(__file__).parent
KUBERNETES = "1.33"
CRDS = json.loads((HERE / "schemas" / "crds.json").read_text("utf-8"))
# Objects of the stand-in for Kubeflow Pipelines, which are not ours.
FOREIGN = ("ml-pipeline", "seaweedfs", "pipeline-runner", "workflow-controller")
SETS = [(overlay, names) for overlay in OVERLAYS for names in ((), COMPONENTS)]
SETS += [("existing", (name,)) for name in COMPONENTS]
EVERY = [
    pytest.param(overlay, names, id=f"{overlay} {'+'.join(names) or 'alone'}")
    for overlay, names in SETS
]
Object = dict[str, Any]


def flags(overlay: str, components: Sequence[str] = (), **more: Any) -> argparse.Namespace:
    asked = {"overlay": overlay, "component": components, "namespace": "kubeflow"}
    return argparse.Namespace(**{**asked, **more})


@pytest.fixture(autouse=True, scope="module")
def upstream(kubectl: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let what comes from github.com come from a mirror, as docs/cluster.md says for an air gap."""
    mirror = tmp_path_factory.mktemp("mirror")
    argo, pipelines = mirror / "argoproj/argo-workflows", mirror / "kubeflow/pipelines"
    left_out = shutil.ignore_patterns("argo-workflows")
    shutil.copytree(HERE / "upstream", pipelines / "manifests/kustomize", ignore=left_out)
    shutil.copytree(HERE / "upstream/argo-workflows", argo)
    for repository, version in ((pipelines, "2.17.0"), (argo, "v4.0.5")):
        git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", version]):
            subprocess.run(git + command, check=True)
    settings = (f"url.file://{mirror}/.insteadOf", "https://github.com/")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("COUNT", "KEY_0", "VALUE_0"), ("1", *settings), strict=True):
            patch.setenv(f"GIT_CONFIG_{name}", value)
        yield


@functools.cache
def rendered(
    overlay: str, components: Sequence[str] = (), bucket: str = "", **more: Any
) -> list[Object]:
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), flags(overlay, components, **more), bucket)
        command = ["kubectl", "kustomize", name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [found for found in yaml.safe_load_all(text) if found]


def named(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return objects by kind and name; a Job's name without the hash that it ends in."""
    names = {}
    for found in objects:
        name = re.sub(r"-[0-9a-f]{10}$", "", found["metadata"]["name"])
        names[found["kind"], name] = found
    return names


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield our pods with a name for each."""
    for found in objects:
        name = f"{found['kind']} {found['metadata']['name']}"
        if found["metadata"]["name"] not in FOREIGN:
            for template in templates(found):
                yield name, template["spec"]


def templates(found: Object) -> list[Object]:
    """Return the object's templates of pods: its own, or those of a TrainingRuntime's jobs."""
    if found["kind"] == "TrainingRuntime":
        jobs = found["spec"]["template"]["spec"]["replicatedJobs"]
        return [job["template"]["spec"]["template"] for job in jobs]
    return [found["spec"]["template"]] if "template" in found.get("spec", {}) else []


def validate(found: Object) -> None:
    """Raise unless the object is what its kind's schema says, and nothing beside it."""
    if found["kind"] in CRDS:
        crd = CRDS[found["kind"]]
        assert found["apiVersion"] == crd["apiVersion"]
        assert set(found) <= {"apiVersion", "kind", "metadata", "spec"}
        jsonschema.validate(found.get("spec", {}), crd["spec"])
    else:
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


@pytest.mark.parametrize(("overlay", "components"), EVERY)
def test_every_combination_is_valid_and_keeps_to_the_policy(
    overlay: str, components: Sequence[str]
) -> None:
    objects = rendered(overlay, components)
    assert len(named(objects)) == len(objects)
    for found in objects:
        validate(found)
        if found["kind"] == "RoleBinding":
            assert {subject["namespace"] for subject in found["subjects"]} == {"kubeflow"}
        if found["kind"] == "ResourceQuota":
            assert set(found["spec"]["hard"]) == {"requests.nvidia.com/gpu"}
    services = [found["spec"]["selector"] for found in objects if found["kind"] == "Service"]
    labels = [
        template.get("metadata", {}).get("labels", {})
        for found in objects
        for template in templates(found)
    ]
    for selector in services:
        assert any(selector.items() <= have.items() for have in labels), selector
    for name, pod in pods(objects):
        check_pod(name, pod)
    assert [found for found in objects if found["kind"] == "Secret"] == []
    assert "known-to-all" not in json.dumps(objects)


def check_pod(name: str, pod: Object) -> None:
    """Hold a pod to the restricted standard, resources, a tagged image, secrets by reference."""
    assert pod["securityContext"]["runAsNonRoot"] is True, name
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert pod["automountServiceAccountToken"] is False, name
    assert not {"hostNetwork", "hostPID", "hostIPC", "priorityClassName"} & set(pod), name
    kinds = {next(iter(set(volume) - {"name"})) for volume in pod.get("volumes", [])}
    assert kinds <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected"}, name
    for container in pod["containers"] + pod.get("initContainers", []):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        for kind in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                quantity = str(container["resources"][kind][resource])
                assert re.fullmatch(r"\d+(\.\d+)?(m|Ki|Mi|Gi)?", quantity), (name, kind, resource)
        assert re.search(r":(?!latest)[\w.-]+$|@sha256:[0-9a-f]{64}$", container["image"]), name
        for variable in container.get("env", []):
            if re.search("KEY|SECRET|TOKEN|PASSWORD|_USER", variable["name"]):
                assert "valueFrom" in variable, variable["name"]
            assert not variable["name"].startswith("AWS_"), variable["name"]


def test_ours_are_the_images_of_this_code() -> None:
    used = set()
    for _, pod in pods(rendered("existing", COMPONENTS)):
        used |= {container["image"] for container in pod["containers"]}
    assert {name for name in used if name.startswith("arxtune")} == {images.DATA, images.LLM}


@pytest.mark.parametrize("overlay", OVERLAYS[1:])
def test_a_stage_is_retried_as_often_as_it_asks_whatever_it_failed_of(overlay: str) -> None:
    config_map = named(rendered(overlay))["ConfigMap", "workflow-controller-configmap"]
    defaults = yaml.safe_load(config_map["data"]["workflowDefaults"])["spec"]
    # Argo merges its defaults under what Kubeflow writes for `set_retry`, field by field.
    asked = {"limit": "3", "backoff": {"duration": "60", "factor": "2", "maxDuration": "999"}}
    merged = defaults["templateDefaults"]["retryStrategy"] | asked
    assert (merged["limit"], merged["retryPolicy"]) == ("3", "Always")
    # promote and whole graphs ask for none.
    assert defaults["templateDefaults"]["retryStrategy"]["limit"] == "0"
    assert defaults["ttlStrategy"]["secondsAfterCompletion"] == 3600
    assert "mlpipeline" in config_map["data"]["artifactRepository"]


def test_a_store_of_ones_own_gets_its_bucket_from_a_job_inside() -> None:
    objects = named(rendered("existing", bucket="mine"))
    (container,) = objects["Job", "arxtune-bucket"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--bucket", "mine"]
    keys = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"]}
    assert set(keys) == {*STORE_KEYS, *OPTIONAL_STORE_KEYS}
    assert ("Job", "arxtune-bucket") not in named(rendered("existing"))
    other = [found["metadata"]["name"] for found in rendered("existing", bucket="other")]
    assert objects["Job", "arxtune-bucket"]["metadata"]["name"] not in other


def test_only_the_prefixes_of_kubeflow_expire() -> None:
    job = named(rendered("standalone", ("lifecycle",)))["Job", "arxtune-lifecycle"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--prefix", "v2/artifacts/", "--prefix", "private-artifacts/"]


def test_the_stages_may_write_to_the_volume_of_the_models_in_every_overlay() -> None:
    for overlay in OVERLAYS:
        pod = named(rendered(overlay))["Job", "arxtune-models"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["fsGroup"] == 65532
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "arxtune-models"


def test_minio_takes_the_place_of_seaweedfs_behind_its_name() -> None:
    objects = named(rendered("standalone-minio"))
    for kind, name in (("Deployment", "seaweedfs"), ("PersistentVolumeClaim", "seaweedfs-pvc")):
        assert (kind, name) not in objects
        assert (kind, name) in named(rendered("standalone"))
    service = objects["Service", "seaweedfs"]["spec"]
    assert service["selector"] == {"app": "minio"}
    assert {port["port"]: port["targetPort"] for port in service["ports"]} == {
        9000: 9000,
        8333: 9000,
    }
    assert objects["NetworkPolicy", "minio"]["spec"]["podSelector"]["matchLabels"] == {
        "app": "minio"
    }


def test_egress_is_for_the_pods_of_the_pipeline_and_leads_to_the_kubernetes_api() -> None:
    to = {"ipBlock": {"cidr": "20.1.2.3/32"}}
    rule = {"to": [to], "ports": [{"port": 443, "protocol": "TCP"}]}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), flags("existing"), api_server=[rule])
        text = subprocess.check_output(["kubectl", "kustomize", name], text=True)
    policies = named([found for found in yaml.safe_load_all(text) if found])
    cluster = policies["NetworkPolicy", "arxtune-cluster"]["spec"]
    internet = policies["NetworkPolicy", "arxtune-internet"]["spec"]
    assert rule in cluster["egress"]
    assert all("to" in one for one in cluster["egress"]), "no port is open to everywhere"
    (expression,) = cluster["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == {needs.egress for needs in (Needs(), *NEEDS.values())}
    assert internet["podSelector"]["matchLabels"]["arxtune.dev/egress"] == "internet"


def test_a_role_allows_what_its_account_does_and_no_more() -> None:
    table = {}
    for (kind, name), found in named(rendered("existing", COMPONENTS)).items():
        if kind == "Role":
            for rule in found["rules"]:
                only = "" if "resourceNames" in rule else " (any)"
                for resource in rule["resources"]:
                    table.setdefault((name, resource + only), set()).update(rule["verbs"])
    changes = {"create", "update", "patch", "delete"}
    changing = {key: verbs & changes for key, verbs in table.items() if verbs & changes}
    of_the_api = ["pipelines", "pipelines/versions", "pipelineversions"]
    of_the_api += ["experiments", "runs", "jobs"]
    for resource in of_the_api:
        verbs = changing.pop(("arxtune-deployer", f"{resource} (any)"))
        assert verbs == {"create", "delete"}
    assert changing == {
        ("arxtune-pace", "leases"): {"update", "patch"},
        ("arxtune-pace", "leases (any)"): {"create"},
        ("arxtune-deployer", "services/proxy"): {"create", "delete"},
        ("arxtune-trainer", "trainjobs (any)"): {"create", "delete"},
    }
    assert not {"secrets", "secrets (any)"} & {resource for _, resource in table}


def test_a_training_on_several_nodes_may_meet_and_gets_the_secrets_of_the_stage() -> None:
    objects = named(rendered("existing", ("trainer",)))
    runtime = objects["TrainingRuntime", "arxtune"]
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert runtime["metadata"]["labels"]["trainer.kubeflow.org/framework"] == "torch"
    assert job["template"]["metadata"]["labels"] == {
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer"
    }
    template = job["template"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert (job["name"], container["name"]) == ("node", "node"), "the trainer's own names"
    found = {
        one["name"]: one["valueFrom"]["secretKeyRef"]
        for one in container["env"]
        if "valueFrom" in one
    }
    assert {name for name, ref in found.items() if not ref.get("optional")} == set(STORE_KEYS)
    assert set(found) == {*STORE_KEYS, *OPTIONAL_STORE_KEYS, *NEEDS["finetune"].secrets}
    assert all(ref["key"] == name and ref["name"] == SECRET for name, ref in found.items())
    labels = template["metadata"]["labels"]
    (source,) = objects["NetworkPolicy", "arxtune-trainer"]["spec"]["ingress"][0]["from"]
    assert source["podSelector"]["matchLabels"].items() <= labels.items()
    claim = objects["PersistentVolumeClaim", "arxtune-models"]["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]


def test_another_namespace_is_used_everywhere_or_refused() -> None:
    objects = rendered("existing", ("kueue", "trainer"), namespace="team")
    assert {found["metadata"].get("namespace") for found in objects} == {"team"}
    bindings = [found for found in objects if found["kind"] == "RoleBinding"]
    subjects = [subject["namespace"] for found in bindings for subject in found["subjects"]]
    assert set(subjects) == {"team"}
    with pytest.raises(ConfigError, match=r"addresses of its own namespace .* existing"):
        prepare(Path(), flags("standalone", namespace="team"))


def test_kubeflow_pipelines_has_one_version_which_is_the_clients() -> None:
    from kfp.version import __version__ as client

    texts = [path.read_text("utf-8") for path in (MANIFESTS / "upstream").rglob("*.yaml")]
    assert set(re.findall(r"\?ref=([\w.]+)", "".join(texts))) == {client}
