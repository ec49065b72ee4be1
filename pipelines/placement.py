"""What only a cluster knows: nodes, resources and secrets. kfp.local ignores all of it."""

from typing import Any

from kfp import dsl, kubernetes

SECRET = "arxtune-secrets"  # noqa: S105  the name of a Kubernetes Secret, not a secret
STORE_KEYS = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
SECRET_KEYS = ("GROQ_API_KEY", "HF_TOKEN", *STORE_KEYS)


def on_cpu(task: dsl.PipelineTask, *, cache: bool = True) -> None:
    """Place a stage that needs no GPU."""
    _common(task, cpu="2", memory="4Gi")
    task.set_caching_options(cache)


def on_gpu(task: dsl.PipelineTask, *, node_selector: Any, tolerations: Any) -> None:
    """Place a stage on one NVIDIA GPU, on the nodes that the run's parameters name."""
    _common(task, cpu="8", memory="48Gi")
    task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
    kubernetes.add_node_selector_json(task, node_selector)
    kubernetes.add_toleration_json(task, tolerations)
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="8Gi")


def _common(task: dsl.PipelineTask, *, cpu: str, memory: str) -> None:
    task.set_cpu_request("1").set_cpu_limit(cpu).set_memory_request("1Gi").set_memory_limit(memory)
    for key in SECRET_KEYS:
        kubernetes.use_secret_as_env(task, SECRET, {key: key}, optional=True)
