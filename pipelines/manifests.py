"""What belongs on the cluster: one folder for `kubectl apply -k`, and Secrets that are missing."""

import argparse
import base64
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.shared import images
from components.shared.errors import ClusterError, ConfigError, ToolError
from components.shared.progress import say
from components.shared.records import digest
from pipelines.names import KUBEFLOW_BUCKET, OPTIONAL_STORE_KEYS, SECRET, STORE_KEYS

Object = dict[str, Any]
MANIFESTS = Path(__file__).parents[1] / "manifests"
OVERLAYS = ("existing", "standalone", "standalone-minio", "kind")
COMPONENTS = tuple(sorted(path.name for path in MANIFESTS.glob("components/*")))
JOBS = ("models", "bucket", "lifecycle", "gpu-check")
ARTIFACTS_SECRET = "mlpipeline-minio-artifact"  # noqa: S105  Kubeflow's name for it
OTHER_KEYS = ("GROQ_API_KEY", "ARXTUNE_TEACHER_KEY", "HF_TOKEN")
SERVER_SIDE = ("--server-side", "--field-manager=arxtune", "--force-conflicts")
UP_SECONDS = 600


class Kubectl:
    """kubectl, which knows every way to log in; secret values go to its input alone."""

    def __init__(self, namespace: str, context: str = "") -> None:
        self.namespace = namespace
        self.space = f"/api/v1/namespaces/{namespace}"
        self._base = ["kubectl", *(["--context", context] if context else []), "-n", namespace]
        if not shutil.which("kubectl"):
            raise ToolError("kubectl is not installed", "install it; or --no-manifests --host URL")

    def show(self, *arguments: str, fine: Sequence[int] = (0,), **more: Any) -> str:
        """Run kubectl with its own words on the terminal; raise ClusterError for other statuses."""
        done = subprocess.run([*self._base, *arguments], text=True, check=False, **more)
        if done.returncode not in fine:
            problem = f"kubectl {arguments[0]} ended with status {done.returncode}, see above"
            raise ClusterError(problem, "the same command goes on from here")
        return done.stdout or ""

    def read(self, what: str, api: str = "", seconds: int = 10) -> Object:
        """Return an object or list, of the namespace or another part of the API; {} for none."""
        asked = ["get", "--raw", (api or self.space) + what, f"--request-timeout={seconds}s"]
        done = subprocess.run([*self._base, *asked], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return dict(json.loads(done.stdout))
        line = [*done.stderr.strip().splitlines(), "no reason given"][0][:200]
        if "NotFound" in line:
            return {}
        raise ClusterError(line, "kubectl config use-context NAME, or --context NAME")


def apply(arguments: argparse.Namespace, store: str) -> bool:
    """Apply manifests and missing Secrets, or show the difference; tell whether all is there."""
    kubectl = Kubectl(arguments.namespace, arguments.context)
    if not store.startswith("s3://"):
        problem = f"--store {store}: is no store that pods can share"
        raise ConfigError(problem, "name s3://bucket/prefix")
    bucket = "" if store.startswith(f"{KUBEFLOW_BUCKET}/") else store.split("/")[2]
    with tempfile.TemporaryDirectory(prefix="arxtune-manifests-") as scratch:
        prepare(Path(scratch), arguments, bucket, api_server_rules(kubectl))
        bare = arguments.overlay != "existing"
        if arguments.dry_run and bare and not kubectl.read(""):
            print(f"namespace {arguments.namespace}: not there; all of it would be created")
            return False
        if arguments.dry_run:
            kubectl.show("diff", *SERVER_SIDE, "-k", scratch, fine=(0, 1))
            return True
        if bare:  # what the rest is made of must be there first
            kubectl.show("apply", *SERVER_SIDE, "-k", f"{scratch}/manifests/upstream/crds")
            kubectl.show("wait", "--for=condition=established", "--timeout=60s", "crd", "--all")
            ensure_secret(kubectl, ARTIFACTS_SECRET, _keys_of_kubeflows_own)
        if "external-secrets" not in arguments.component:
            ensure_secret(kubectl, SECRET, lambda: _keys_of_ours(kubectl, store))
        kubectl.show("apply", *SERVER_SIDE, "-k", scratch)
        if bare:
            up = ("--for=condition=Available", f"--timeout={UP_SECONDS}s")
            kubectl.show("wait", *up, "deployment", "--all")
    return True


def ensure_secret(kubectl: Kubectl, name: str, values: Callable[[], dict[str, str]]) -> None:
    """Create a missing Secret; one that is there is never changed, and has what is set here."""
    if there := kubectl.read(f"/secrets/{name}"):
        lacks = set(_from_environment(OTHER_KEYS)) - set(there.get("data", {}))
        if lacks and name == SECRET:
            fix = f"kubectl delete secret {name} -n {kubectl.namespace}, and the same command again"
            raise ConfigError(f"the Secret {name} lacks {', '.join(sorted(lacks))}, set here", fix)
        return
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    kubectl.show("create", "-f", "-", input=json.dumps(secret | {"stringData": values()}))


def _keys_of_kubeflows_own() -> dict[str, str]:
    return {"accesskey": f"arxtune-{secrets.token_hex(6)}", "secretkey": secrets.token_hex(20)}


def _keys_of_ours(kubectl: Kubectl, store: str) -> dict[str, str]:
    """Return the store's keys, of the environment or Kubeflow's own, and the other keys."""
    values = _from_environment((*STORE_KEYS, *OPTIONAL_STORE_KEYS, *OTHER_KEYS))
    if set(STORE_KEYS) <= set(values):
        if store.startswith(KUBEFLOW_BUCKET + "/"):
            problem = f"S3 keys are in the environment, and --store {store} is in Kubeflow's own"
            fix = "name your bucket by --store s3://BUCKET/PREFIX, or unset them"
            raise ConfigError(problem, fix)
        return values
    if not (kubeflows := kubectl.read(f"/secrets/{ARTIFACTS_SECRET}")):
        problem = f"there is no Secret {SECRET}, and {' and '.join(STORE_KEYS)} are not set"
        raise ConfigError(problem, "set them, make the Secret, or --component external-secrets")
    for key, name in zip(STORE_KEYS, ("accesskey", "secretkey"), strict=True):
        values[key] = base64.b64decode(kubeflows["data"][name]).decode()
    return values | {"ARXTUNE_S3_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000"}


def _from_environment(keys: Sequence[str]) -> dict[str, str]:
    values = {}
    for key in keys:
        if value := os.environ.get(key) or os.environ.get(key.replace("ARXTUNE_S3_", "AWS_")):
            values[key] = value
    return values


def api_server_rules(kubectl: Kubectl) -> list[Object]:
    """Return the egress rules that lead to the Kubernetes API, whose address may be public."""
    ours = "/endpointslices?labelSelector=kubernetes.io/service-name%3Dkubernetes"
    try:
        slices = kubectl.read(ours, "/apis/discovery.k8s.io/v1/namespaces/default").get("items", [])
    except ClusterError:
        say("deploy", "the Kubernetes API's addresses cannot be read: see docs/cluster.md, Egress")
        return []
    rules = []
    for one in slices:
        blocks: list[Object] = []
        for endpoint in one["endpoints"]:
            networks = map(ipaddress.ip_network, endpoint["addresses"])
            blocks += [{"ipBlock": {"cidr": str(network)}} for network in networks]
        ports = [{"port": port["port"], "protocol": "TCP"} for port in one["ports"]]
        rules.append({"to": blocks, "ports": ports})
    return rules


def prepare(
    folder: Path, flags: argparse.Namespace, bucket: str = "", api_server: Sequence[Object] = ()
) -> None:
    """Write a folder for `kubectl apply -k`, with a copy of the manifests in it.

    `bucket` is one that must be made, `api_server` the rules of egress to the Kubernetes API.
    """
    if flags.overlay != "existing" and flags.namespace != "kubeflow":
        problem = f"--overlay {flags.overlay} --namespace {flags.namespace}"
        reason = "Kubeflow Pipelines has addresses of its own namespace compiled in"
        fix = "leave out --namespace, or install it yourself and take --overlay existing"
        raise ConfigError(f"{problem}: {reason}", fix)
    shutil.copytree(MANIFESTS, folder / "manifests", dirs_exist_ok=True)
    overlay = folder / "manifests" / "overlays" / flags.overlay / "kustomization.yaml"
    has = yaml.safe_load(overlay.read_text("utf-8")).get("components", [])
    wanted = {f"../../components/{name}" for name in flags.component}
    wanted |= {"../../components/bucket"} if bucket else set()
    tags = []
    for name in images.STAGES_OF:
        new_name, _, tag = images.name_of(name).rpartition(":")
        tags.append({"name": f"arxtune/{name}", "newName": new_name, "newTag": tag})
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": flags.namespace,
        "resources": [f"manifests/overlays/{flags.overlay}"],
        "components": [path.replace("../..", "manifests") for path in sorted(wanted - set(has))],
        "images": tags,
        "patches": _patches(flags.namespace, bucket, api_server),
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")


def _patches(namespace: str, bucket: str, api_server: Sequence[Object]) -> list[Object]:
    """Return what only this cluster knows: names, addresses and accounts."""
    patches = []
    # A Job never changes: another image or bucket is another Job. Finished ones go after a day.
    suffix = digest([images.DATA, images.LLM, bucket])[:10]
    for job in JOBS:
        values: Object = {"/metadata/name": f"arxtune-{job}-{suffix}"}
        if job == "bucket" and bucket:
            values["/spec/template/spec/containers/0/args"] = ["--bucket", bucket]
        renamed = _patch("Job", f"arxtune-{job}", "replace", values)
        patches.append(renamed | {"options": {"allowNameChange": True}})
    accounts = {f"/subjects/{number}/namespace": namespace for number in (0, 1)}
    patches.append(_patch("RoleBinding", "arxtune-(pace|trainer)", "replace", accounts))
    for rule in api_server:
        egress = {"/spec/egress/-": rule}
        patches.append(_patch("NetworkPolicy", "arxtune-cluster", "add", egress))
    return patches


def _patch(kind: str, name: str, operation: str, values: Object) -> Object:
    operations = [{"op": operation, "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind, "name": name}, "patch": yaml.safe_dump(operations)}
