"""Run the stages in their images on this machine, by kfp.local's DockerRunner.

The runner of kfp 2.17 takes a container that is gone before it was asked for its exit status as a
success (kubeflow/pipelines#13332). Ours is removed only after it has told.
"""

import os
from pathlib import Path
from typing import Any

from components.shared import images
from components.shared.errors import ToolError
from components.shared.lifetime import RUN_PID
from pipelines.names import OPTIONAL_STORE_KEYS, STORE_KEYS
from pipelines.placement import USER

STORE = (*STORE_KEYS, *OPTIONAL_STORE_KEYS)
TAKEN_ALONG = (
    *STORE,
    *(name.replace("ARXTUNE_S3_", "AWS_") for name in STORE),
    *("GROQ_API_KEY", "ARXTUNE_TEACHER_KEY", "HF_TOKEN", RUN_PID),
)
SHARED_MEMORY = "1g"  # for Chromium and for data loaders; Docker's 64 MiB are too little


def runner(environment: dict[str, str], state: Path) -> Any:
    """Return kfp.local's runner; `state` is what scrape keeps between runs."""
    import docker
    from kfp import local
    from kfp.local import docker_task_handler

    _check_images(docker)
    state.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        os.chown(state, USER, USER)

    taken = {name: os.environ[name] for name in TAKEN_ALONG if os.environ.get(name)}
    ours = {**taken, **environment, "XDG_STATE_HOME": str(state)}

    def run_in_container(
        client: Any, image: str, command: list[str], volumes: dict[str, Any], **options: Any
    ) -> int:
        options["environment"] = {**options.get("environment", {}), **ours}
        options["volumes"] = {**volumes, str(state): {"bind": str(state), "mode": "rw"}}
        container = client.containers.run(image, command, detach=True, **options)
        try:
            for line in container.logs(stream=True):
                print(line.decode("utf-8", "replace"), end="")
            return int(container.wait()["StatusCode"])
        finally:
            container.remove(force=True)

    docker_task_handler.run_docker_container = run_in_container
    return local.DockerRunner(
        # as on a cluster when root starts it; what another user starts belongs to that user
        user=f"{os.getuid() or USER}:{os.getgid() or USER}",
        network_mode="host",  # the embedded servers listen on loopback
        pid_mode="host",  # a stage follows the process that started the run, and ends with it
        read_only=True,
        tmpfs={"/tmp": "size=4g,mode=1777,exec"},  # Triton loads there what it has compiled
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size=SHARED_MEMORY,
    )


def _check_images(docker: Any) -> None:
    """Refuse to start without a Docker daemon or without the images."""
    try:
        client = docker.from_env()
        missing = [
            name
            for name in (images.SCRAPE, images.DATA, images.LLM)
            if not client.images.list(name)
        ]
    except docker.errors.DockerException as error:
        reason = str(error).splitlines()[0]
        raise ToolError(
            f"--containers: no Docker daemon answers ({reason})", "start it, or leave out the flag"
        ) from None
    if missing:
        raise ToolError(
            f"--containers: there is no image {', '.join(missing)}", "build them by 'make images'"
        )
