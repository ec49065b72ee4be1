"""Where each stage runs on a cluster, and with what: read from the compiled platform spec."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.compiler import Compiler

from components.finetune.trainjob import NODE_QUEUE, NODE_RESOURCES
from components.shared import images
from pipelines.arxtune import arxtune
from pipelines.names import SECRET
from pipelines.placement import USER
from pipelines.stages import STAGES

ROOT = Path(__file__).parents[2]
STORE = {"ARXTUNE_S3_ACCESS_KEY_ID", "ARXTUNE_S3_SECRET_ACCESS_KEY"}
WHERE_STORE = {"ARXTUNE_S3_ENDPOINT_URL", "ARXTUNE_S3_REGION", "ARXTUNE_S3_SESSION_TOKEN"}
GPU_STAGES = {"finetune", "evaluate"}
MODEL_STAGES = {*GPU_STAGES, "promote"}  # merging needs the base, pushing the token


class Compiled:
    """The two documents of a compiled pipeline, by stage."""

    def __init__(self, text: str) -> None:
        self.spec, platform = yaml.safe_load_all(text)
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.platform = {stage: executors[f"exec-{stage}"] for stage in STAGES}
        deployed = self.spec["deploymentSpec"]["executors"]
        self.container = {stage: deployed[f"exec-{stage}"]["container"] for stage in STAGES}
        self.task: dict[str, Any] = {}
        for dag in [self.spec["root"], *self.spec["components"].values()]:
            for name, task in dag.get("dag", {}).get("tasks", {}).items():
                self.task[name] = task

    def secrets(self, stage: str, *, optional: bool) -> set[str]:
        found = set()
        for secret in self.platform[stage].get("secretAsEnv", []):
            assert secret["secretName"] == SECRET
            if secret.get("optional", False) == optional:
                found |= {pair["envVar"] for pair in secret["keyToEnv"]}
        return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("compiled") / "arxtune.yaml"
    Compiler().compile(arxtune, str(path))
    return Compiled(path.read_text("utf-8"))


@pytest.mark.parametrize("stage", STAGES)
def test_only_the_stages_of_the_model_ask_for_a_gpu(compiled: Compiled, stage: str) -> None:
    accelerator = compiled.container[stage]["resources"].get("accelerator")
    if stage in GPU_STAGES:
        assert accelerator["resourceType"] == "nvidia.com/gpu"
        assert accelerator["resourceCount"] == "1"
    else:
        assert accelerator is None


@pytest.mark.parametrize("stage", STAGES)
def test_nodes_of_the_models_are_named_by_the_runs_parameters(
    compiled: Compiled, stage: str
) -> None:
    platform = compiled.platform[stage]
    if stage not in MODEL_STAGES:
        assert "nodeSelector" not in platform
        assert "tolerations" not in platform
        return
    within = "pipelinechannel--" if stage == "promote" else ""  # the condition's own parameters
    named = {"componentInputParameter": f"{within}node_selector"}
    assert platform["nodeSelector"]["nodeSelectorJson"] == named
    named = {"componentInputParameter": f"{within}tolerations"}
    assert platform["tolerations"] == [{"tolerationJson": named}]
    (claim,) = platform["pvcMount"]
    assert claim["mountPath"] == "/models"
    assert compiled.container[stage]["image"] == images.LLM


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_gets_its_own_secrets_and_no_others(compiled: Compiled, stage: str) -> None:
    own = {
        "generate": {"GROQ_API_KEY", "ARXTUNE_TEACHER_KEY"},
        "finetune": {"HF_TOKEN"},
        "evaluate": {"HF_TOKEN"},
        "promote": {"HF_TOKEN"},
    }
    assert compiled.secrets(stage, optional=False) == STORE
    assert compiled.secrets(stage, optional=True) == WHERE_STORE | own.get(stage, set())
    assert "env" not in compiled.container[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_requests_limits_and_an_end(compiled: Compiled, stage: str) -> None:
    resources = compiled.container[stage]["resources"]
    for name in (
        "resourceCpuRequest",
        "resourceCpuLimit",
        "resourceMemoryRequest",
        "resourceMemoryLimit",
    ):
        assert resources[name], name
    assert 3600 <= int(compiled.platform[stage]["activeDeadlineSeconds"]) <= 30 * 3600


@pytest.mark.parametrize("stage", STAGES)
def test_what_failed_is_tried_again_with_growing_pauses_but_never_promote(
    compiled: Compiled, stage: str
) -> None:
    policy = compiled.task[stage].get("retryPolicy")
    if stage == "promote":
        assert policy is None
        return
    assert policy["maxRetryCount"] in (2, 3)
    assert policy["backoffDuration"] == "60s"
    assert policy["backoffFactor"] == 2.0
    # Argo counts from the first attempt's start: each may last as long as its pod may live.
    pauses = 60 * (2 ** policy["maxRetryCount"] - 1)
    attempts = (policy["maxRetryCount"] + 1) * int(
        compiled.platform[stage]["activeDeadlineSeconds"]
    )
    assert policy["backoffMaxDuration"] == f"{attempts + pauses}s"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_is_root_or_writes_to_its_image(compiled: Compiled, stage: str) -> None:
    platform = compiled.platform[stage]
    context = platform["securityContext"]
    assert context == {"runAsUser": str(USER), "runAsGroup": str(USER), "runAsNonRoot": True}
    mounts = {mount["mountPath"]: mount for mount in platform["emptyDirMounts"]}
    assert "/tmp" in mounts
    if stage in {"scrape", *GPU_STAGES}:
        assert mounts["/dev/shm"]["medium"] == "Memory"
        assert mounts["/dev/shm"]["sizeLimit"]


@pytest.mark.parametrize("stage", STAGES)
def test_only_stages_that_must_may_reach_the_internet(compiled: Compiled, stage: str) -> None:
    labels = compiled.platform[stage]["podMetadata"]["labels"]
    needs_it = stage in {"scrape", "generate", *MODEL_STAGES}
    assert labels["arxtune.dev/egress"] == ("internet" if needs_it else "cluster")
    assert labels["app.kubernetes.io/component"] == stage


def compile_with(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pipelines.cli",
            "compile",
            "--output",
            str(tmp_path / "arxtune.yaml"),
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_clusters_owner_says_which_gpu_queue_and_images(tmp_path: Path) -> None:
    owner = {
        "ARXTUNE_GPUS": "2",
        "ARXTUNE_GPU": "amd.com/gpu",
        "ARXTUNE_QUEUE": "arxtune",
        "ARXTUNE_IMAGES": "registry.example/team",
        "ARXTUNE_TAG": "0.1.0-abc",
    }
    done = compile_with(tmp_path, **owner)
    assert (done.returncode, done.stderr) == (0, "")
    compiled = Compiled((tmp_path / "arxtune.yaml").read_text("utf-8"))
    accelerator = compiled.container["finetune"]["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", "2")
    image = compiled.container["finetune"]["image"]
    assert re.fullmatch(r"registry.example/team/llm:0.1.0-abc-[0-9a-f]{10}", image)
    for stage in STAGES:
        queued = "kueue.x-k8s.io/queue-name" in compiled.platform[stage]["podMetadata"]["labels"]
        assert queued == (stage in GPU_STAGES)


def test_a_task_that_waits_for_several_nodes_holds_no_gpu_and_tells_what_a_node_gets(
    tmp_path: Path,
) -> None:
    owner = {"ARXTUNE_NODES": "2", "ARXTUNE_GPUS": "8", "ARXTUNE_QUEUE": "team"}
    assert compile_with(tmp_path, **owner).returncode == 0
    compiled = Compiled((tmp_path / "arxtune.yaml").read_text("utf-8"))
    assert "accelerator" not in compiled.container["finetune"]["resources"]
    told = {one["name"]: one["value"] for one in compiled.container["finetune"]["env"]}
    limits = {"cpu": "8", "memory": "48Gi", "nvidia.com/gpu": "8"}
    assert json.loads(told.pop(NODE_RESOURCES)) == limits
    assert told == {"ARXTUNE_NODES": "2", NODE_QUEUE: "team"}
    one_process = compiled.container["evaluate"]["resources"]["accelerator"]
    assert one_process["resourceCount"] == "1"
    labels = compiled.platform["finetune"]["podMetadata"]["labels"]
    assert "kueue.x-k8s.io/queue-name" not in labels


def test_without_gpus_the_model_is_placed_on_cpu_with_less_memory(tmp_path: Path) -> None:
    done = compile_with(tmp_path, ARXTUNE_GPUS="0")
    assert done.returncode == 0
    assert "arxtune/...: in no registry" in done.stderr
    compiled = Compiled((tmp_path / "arxtune.yaml").read_text("utf-8"))
    for stage in GPU_STAGES:
        assert "accelerator" not in compiled.container[stage]["resources"]
        assert compiled.container[stage]["resources"]["resourceMemoryLimit"] == "6Gi"


def test_a_number_of_gpus_that_is_none_is_one_line(tmp_path: Path) -> None:
    result = compile_with(tmp_path, ARXTUNE_GPUS="many")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "arxtune: error: ARXTUNE_GPUS='many': must be a whole number; 0 places everything on CPU"
    ]
