"""Checks of the cluster, through kubectl: it knows every way to log in. Of Secrets only the keys are looked at."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.finetune.trainjob import GROUP, RUNTIME, VERSION
from pipelines.doctor.finding import HTTP_SECONDS, Finding, Surroundings
from pipelines.names import MODELS, SECRET, STORE_KEYS

LINK = "kubectl config use-context NAME, or --context NAME"


def _get(where: Surroundings, path: str) -> tuple[Finding | None, dict[str, Any]]:
    """Return an object or list of the Kubernetes API, or the finding that stands for its absence."""
    if not shutil.which("kubectl"):
        return Finding(
            "off", "kubectl is not installed", "install kubectl to look at a cluster"
        ), {}
    if not _configured():
        return Finding("off", "no cluster is configured here", LINK), {}
    context = ["--context", where.context] if where.context else []
    limit = f"--request-timeout={HTTP_SECONDS:.0f}s"
    try:
        result = subprocess.run(
            ["kubectl", *context, limit, "get", "--raw", path],  # noqa: S607  whichever kubectl the person uses
            capture_output=True, text=True, timeout=HTTP_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Finding("fail", "the Kubernetes API does not answer", LINK), {}
    if result.returncode == 0:
        return None, json.loads(result.stdout)
    line = (result.stderr.strip() or "no reason given").splitlines()[-1][:150]
    if "NotFound" in line or "not find" in line:
        return None, {}
    return Finding("fail", line, LINK), {}


def _configured() -> bool:
    """Tell whether kubectl has a cluster to speak to, without starting it."""
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(
        Path(file).is_file() for file in files.split(os.pathsep)
    )


def cluster(where: Surroundings) -> Finding:
    state, found = _get(where, "/version")
    if state:
        return state
    return Finding("ok", f"Kubernetes {found.get('gitVersion', 'of an unknown version')}")


def namespace(where: Surroundings) -> Finding:
    state, found = _get(where, f"/api/v1/namespaces/{where.namespace}")
    if state or found:
        return state or Finding("ok", where.namespace)
    return Finding(
        "fail", f"there is no namespace {where.namespace!r}", "--namespace NAME, or arxtune deploy"
    )


def secrets(where: Surroundings) -> Finding:
    state, found = _get(where, f"/api/v1/namespaces/{where.namespace}/secrets/{SECRET}")
    if state:
        return state
    keys = set(found.get("data") or {})
    if missing := set(STORE_KEYS) - keys:
        fix = f"kubectl create secret generic {SECRET} --from-literal=KEY=..., or arxtune deploy with them set"
        return Finding("fail", f"the Secret {SECRET} lacks {', '.join(sorted(missing))}", fix)
    return Finding("ok", f"{SECRET} has {', '.join(sorted(keys))}")


def gpus(where: Surroundings) -> Finding:
    state, found = _get(where, "/api/v1/nodes")
    if state:
        return state
    having = [node for node in found.get("items", []) if _gpus(node)]
    if not having:
        fix = "install NVIDIA's device plugin or GPU operator, or deploy with ARXTUNE_GPUS=0"
        return Finding("fail", "no node has an allocatable nvidia.com/gpu", fix)
    kinds = {
        node["metadata"].get("labels", {}).get("nvidia.com/gpu.product", "unnamed")
        for node in having
    }
    taints = {taint["key"] for node in having for taint in node["spec"].get("taints", [])}
    told = f"; tainted {', '.join(sorted(taints))}: give --tolerations" if taints else ""
    return Finding(
        "ok", f"{sum(map(_gpus, having))} on {len(having)} nodes ({', '.join(sorted(kinds))}){told}"
    )


def _gpus(node: dict[str, Any]) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", 0))


def storage(where: Surroundings) -> Finding:
    state, found = _get(where, "/apis/storage.k8s.io/v1/storageclasses")
    if state:
        return state
    mark = "storageclass.kubernetes.io/is-default-class"
    default = [
        item["metadata"]["name"]
        for item in found.get("items", [])
        if item["metadata"].get("annotations", {}).get(mark) == "true"
    ]
    if not default:
        return Finding(
            "fail",
            "no storage class is the default",
            f"kubectl annotate storageclass NAME {mark}=true",
        )
    return Finding("ok", default[0])


def models(where: Surroundings) -> Finding:
    state, found = _get(
        where, f"/api/v1/namespaces/{where.namespace}/persistentvolumeclaims/{MODELS}"
    )
    if state:
        return state
    phase = found.get("status", {}).get("phase", "not there")
    if phase == "Bound" or phase == "Pending":  # a class that waits for its first pod binds it then
        return Finding("ok", f"{MODELS} is {phase.lower()}")
    return Finding(
        "fail",
        f"the volume claim {MODELS} is {phase.lower()}",
        "arxtune deploy, then see its events",
    )


def quota(where: Surroundings) -> Finding:
    state, found = _get(where, f"/api/v1/namespaces/{where.namespace}/resourcequotas")
    if state:
        return state
    for item in found.get("items", []):
        hard = item.get("status", {}).get("hard", {})
        counted = {
            "cpu",
            "memory",
            "requests.cpu",
            "requests.memory",
            "limits.cpu",
            "limits.memory",
        } & set(hard)
        if counted:
            name = item["metadata"]["name"]
            fix = "count GPUs alone: Kubeflow's helper pods declare no CPU and memory"
            return Finding("fail", f"the quota {name} counts {', '.join(sorted(counted))}", fix)
        used = item["status"].get("used", {}).get("requests.nvidia.com/gpu", "0")
        if (limit := hard.get("requests.nvidia.com/gpu")) and int(used) >= int(limit):
            return Finding(
                "fail", f"{used} of {limit} GPUs of the quota are used", "wait, or raise the quota"
            )
    return Finding("ok", "leaves room")


def trainer(where: Surroundings) -> Finding:
    space = f"namespaces/{where.namespace}/trainingruntimes/{RUNTIME}"
    state, found = _get(where, f"/apis/{GROUP}/{VERSION}/{space}")
    if found:
        return Finding("ok", f"the TrainingRuntime {RUNTIME} is there")
    if state and "Forbidden" not in state.detail:  # which is said of kinds that are not there, too
        return state
    fix = "for finetune.nodes above 1 install Kubeflow Trainer, then arxtune deploy --component trainer"
    return Finding("off", f"there is no TrainingRuntime {RUNTIME}: a training has one node", fix)


KUBERNETES_CHECKS: dict[str, Callable[[Surroundings], Finding]] = {
    "cluster": cluster,
    "namespace": namespace,
    "secrets": secrets,
    "gpu nodes": gpus,
    "storage class": storage,
    "models volume": models,
    "quota": quota,
    "trainer": trainer,
}
