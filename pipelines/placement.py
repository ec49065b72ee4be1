"""What only a cluster knows: resources, GPUs, nodes, secrets, time, tries. kfp.local ignores it.

What a cluster's owner decides is read from the environment where the pipeline is compiled:

    ARXTUNE_GPUS     GPUs of a task that trains; 0 places all tasks on CPU (default: 1)
    ARXTUNE_GPU      the resource that counts them (default: nvidia.com/gpu)
    ARXTUNE_QUEUE    Kueue's LocalQueue that GPU tasks wait in (default: none)
    ARXTUNE_NODES    nodes of a training; above 1 its task waits for a TrainJob (default: 1)
    ARXTUNE_IMAGES, ARXTUNE_TAG    where the images are, see components/shared/images.py

Which nodes is decided by each run, by its parameters `node_selector` and `tolerations`.
"""

import json
import os
from dataclasses import dataclass, replace
from typing import Any

from kfp import dsl, kubernetes

from components.finetune.trainjob import NODE_QUEUE, NODE_RESOURCES, QUEUE
from components.shared.errors import ConfigError
from pipelines.names import MODELS, OPTIONAL_STORE_KEYS, SECRET, STORE_KEYS

USER = 65532  # numeric, because `runAsNonRoot` cannot look names up; the images have this user too
HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one stage asks of a cluster; requests and limits as (request, limit)."""

    cpu: tuple[str, str] = ("1", "2")
    memory: tuple[str, str] = ("1Gi", "4Gi")
    hours: int = 4  # after which its pod is ended
    retries: int = 3
    cache: bool = True
    models: bool = False  # is where the GPUs and the base models are
    gpu: bool = False
    secrets: tuple[str, ...] = ()  # optional ones beside the store's
    egress: str = "cluster"  # or "internet": what the base's NetworkPolicy lets its pod reach
    shm: str = ""  # size of /dev/shm; 64 MiB are too little for Chromium and data loaders


NEEDS = {  # of stages that ask for more, less or other than usual
    # A cached scrape would find the same papers forever.
    "scrape": Needs(
        cpu=("500m", "2"), memory=("1Gi", "3Gi"), hours=12, cache=False, egress="internet",
        shm="1Gi",
    ),
    "generate": Needs(
        cpu=("250m", "1"), memory=("512Mi", "2Gi"), hours=30, egress="internet",  # a batch takes 24
        secrets=("GROQ_API_KEY", "ARXTUNE_TEACHER_KEY"),
    ),
    "finetune": Needs(
        cpu=("4", "8"), memory=("24Gi", "48Gi"), hours=24, retries=2, models=True,
        gpu=True, secrets=("HF_TOKEN",), egress="internet", shm="8Gi",
    ),
    "evaluate": Needs(
        cpu=("4", "8"), memory=("24Gi", "48Gi"), hours=12, retries=2, models=True,
        gpu=True, secrets=("HF_TOKEN",), egress="internet", shm="8Gi",
    ),
    # It moves what others serve: when that fails, a person looks before it is tried again. Merging
    # needs the base and its memory, on the node where evaluate has just ended.
    "promote": Needs(
        cpu=("250m", "4"), memory=("1Gi", "48Gi"), hours=2, retries=0, models=True,
        secrets=("HF_TOKEN",), egress="internet",
    ),
}  # fmt: skip
# A small model's, where there is no GPU; and of a task that waits for other pods.
ON_CPU: dict[str, Any] = {"cpu": ("1", "4"), "memory": ("1Gi", "6Gi"), "shm": "1Gi"}


def place(task: dsl.PipelineTask, *, node_selector: Any, tolerations: Any) -> None:
    """Place the task of a stage, which bears its name; the parameters are where the models are."""
    stage, gpus = task.name, _count("ARXTUNE_GPUS", "0 places everything on CPU")
    needs = NEEDS.get(stage, Needs())
    if needs.gpu and not gpus:
        needs = replace(needs, **ON_CPU)
    nodes = _count("ARXTUNE_NODES", "1 trains in the task's own pod")
    if stage == "finetune" and nodes > 1:
        _describe_node(task, needs, gpus, nodes)
        needs, gpus = replace(needs, **ON_CPU), 0
    task.set_caching_options(needs.cache)
    task.set_cpu_request(needs.cpu[0]).set_cpu_limit(needs.cpu[1])
    task.set_memory_request(needs.memory[0]).set_memory_limit(needs.memory[1])
    if needs.retries:
        task.set_retry(
            needs.retries,
            backoff_duration="60s",
            backoff_factor=2,
            backoff_max_duration=f"{_until_last_attempt(needs)}s",
        )
    kubernetes.set_timeout(task, needs.hours * HOUR)
    _secure(task, needs)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "arxtune")
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", stage)
    kubernetes.add_pod_label(task, "arxtune.dev/egress", needs.egress)
    if needs.models:
        kubernetes.mount_pvc(task, pvc_name=MODELS, mount_path="/models")
        kubernetes.add_node_selector_json(task, node_selector)
        kubernetes.add_toleration_json(task, tolerations)
    if needs.gpu and gpus:
        _on_gpu(task, gpus if stage == "finetune" else 1)  # one process answers


def _until_last_attempt(needs: Needs) -> int:
    """Return the seconds within which all attempts may start and end.

    Argo counts backoff_max_duration from the first attempt's start, and ends what goes on.
    """
    pauses: int = 60 * (2**needs.retries - 1)
    return (needs.retries + 1) * needs.hours * HOUR + pauses


def _secure(task: dsl.PipelineTask, needs: Needs) -> None:
    """Give a task its secrets, and only its own; it is no root, and writes to volumes alone."""
    for optional, keys in ((False, STORE_KEYS), (True, OPTIONAL_STORE_KEYS + needs.secrets)):
        kubernetes.use_secret_as_env(task, SECRET, {key: key for key in keys}, optional=optional)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.empty_dir_mount(task, volume_name="tmp", mount_path="/tmp")
    if needs.shm:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=needs.shm
        )


def _on_gpu(task: dsl.PipelineTask, gpus: int) -> None:
    task.set_accelerator_type(_gpu()).set_accelerator_limit(gpus)
    if queue := os.environ.get("ARXTUNE_QUEUE"):
        kubernetes.add_pod_label(task, QUEUE, queue)


def _describe_node(task: dsl.PipelineTask, needs: Needs, gpus: int, nodes: int) -> None:
    """Tell the stage by variables how many nodes its training has, and what each gets."""
    of_gpus = {_gpu(): str(gpus)} if gpus else {}
    limits = {"cpu": needs.cpu[1], "memory": needs.memory[1], **of_gpus}
    task.set_env_variable("ARXTUNE_NODES", str(nodes))
    task.set_env_variable(NODE_RESOURCES, json.dumps(limits, sort_keys=True))
    if gpus and (queue := os.environ.get("ARXTUNE_QUEUE")):
        task.set_env_variable(NODE_QUEUE, queue)


def _gpu() -> str:
    return os.environ.get("ARXTUNE_GPU") or "nvidia.com/gpu"


def _count(variable: str, fix: str) -> int:
    text = os.environ.get(variable) or "1"
    if not text.isdigit():
        raise ConfigError(f"{variable}={text!r}: must be a whole number", fix)
    return int(text)
