"""A training on several nodes, by the Kubeflow SDK against what it asks of the Kubernetes API."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import TrainerClient
from kubernetes import client

from components.finetune import trainjob
from components.finetune.config import FinetuneConfig
from components.finetune.trainjob import TrainJob, run_on_nodes
from components.shared.errors import ClusterError, ToolError
from components.shared.loopback import LoopbackServer, QuickHandler

ROOT = Path(__file__).parents[3]
CRDS = json.loads((ROOT / "tests/manifests/schemas/crds.json").read_text("utf-8"))
RUNTIME = yaml.safe_load((ROOT / "manifests/components/trainer/runtime.yaml").read_text("utf-8"))
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ns/trainjobs"
POD = {
    "serviceAccountName": "pipeline-runner",
    "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "containers": [
        {"name": "wait", "image": "argoexec"},
        {"name": "main", "image": "team/llm:1",
         "resources": {"limits": {"cpu": "8", "nvidia.com/gpu": "2"}}},
    ],
}  # fmt: skip
LOG = "| finetune  step 1 of 2\nnoise\n"


class Api(LoopbackServer):
    """Serve one TrainJob; `ends` are its conditions, one a look, of which the last one stays."""

    def __init__(self) -> None:
        self.job: dict[str, Any] | None = None
        self.ends: list[str] = ["", "", "Complete"]
        self.log, self.log_status = LOG, 200
        self.faults, self.deleted = [], 0
        api = self

        class Handler(QuickHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = api.answer(self.command, self.path.split("?")[0], body)
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        super().__init__(Handler)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if self.faults:
            return self.faults.pop(0), {"message": "not now"}
        if path.endswith("/trainingruntimes/arxtune"):
            return 200, RUNTIME
        if path.endswith("/pods"):
            return 200, {"items": [pod_of_the_first_node()]}
        if path.endswith("/log"):
            return self.log_status, self.log
        if method == "POST":
            self.job = json.loads(body)
            jsonschema.validate(self.job["spec"], CRDS["TrainJob"]["spec"])
            self.job["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", "namespace": "ns"}
            return 201, self.job
        if self.job is None or not path.startswith(JOBS):
            return 404, {"message": f"{path} not found"}
        if method == "DELETE":
            self.job, self.deleted = None, self.deleted + 1
            return 200, {}
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        condition = {"type": end, "status": "True", "reason": "x", "message": "",
                     "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
        return 200, {**self.job, "status": {"conditions": [condition]} if end else {}}


def pod_of_the_first_node() -> dict[str, Any]:
    labels = {
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "batch.kubernetes.io/job-completion-index": "0",
    }
    return {
        "metadata": {"name": "node-0-0", "labels": labels,
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "node", "image": "team/llm:1"}]},
        "status": {"phase": "Running"},
    }  # fmt: skip


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(trainjob, "POLL_S", 0.01)
    with Api() as server:
        yield server


def job_of(api: Api) -> TrainJob:
    host = client.Configuration(host=api.url)
    config = KubernetesBackendConfig(namespace="ns", client_configuration=host)
    return TrainJob(TrainerClient(config), "arxtune-0123")


def test_it_is_a_valid_job_in_the_stages_image_and_place_and_is_followed_to_its_end(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(trainjob.NODE_QUEUE, "team")
    job = job_of(api)
    job.submit(2, ["s3://store", "requests/1"], POD)
    assert api.job is not None
    spec = api.job["spec"]
    assert spec["trainer"]["image"] == "team/llm:1"
    assert spec["trainer"]["numNodes"] == 2
    assert spec["trainer"]["command"][-2:] == ["s3://store", "requests/1"]
    assert spec["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "2"
    (patch,) = spec["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    place = node["template"]["spec"]["template"]["spec"]
    assert place == {key: POD[key] for key in ("serviceAccountName", "nodeSelector", "tolerations")}
    assert api.job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    job.follow()
    printed = capsys.readouterr().out
    assert printed.count("step 1 of 2") == 1
    assert "noise" not in printed
    assert "complete" in printed


def test_one_that_is_there_is_followed_and_one_that_ended_is_made_anew(api: Api) -> None:
    api.ends = [""]
    job_of(api).submit(2, [], POD)
    first = api.job
    job_of(api).submit(2, [], POD)
    assert api.job is first
    api.ends = ["Failed"]
    job_of(api).submit(2, [], POD)
    assert api.deleted == 1
    assert api.job is not first


def test_a_failure_ends_with_the_error_line_of_the_first_node(api: Api) -> None:
    job_of(api).submit(2, [], POD)
    api.ends, api.log = (
        ["Failed"],
        LOG + "arxtune: error: out of memory; set finetune.batch_size=1\n",
    )
    with pytest.raises(
        ClusterError, match=r"failed: out of memory; set finetune.batch_size=1; kubectl"
    ):
        job_of(api).follow()


def test_one_that_is_deleted_meanwhile_is_one_line(api: Api) -> None:
    job_of(api).submit(2, [], POD)
    api.job = None
    with pytest.raises(ClusterError, match=r"was deleted too early; run again"):
        job_of(api).follow()


def test_a_node_that_has_not_started_yet_says_nothing(api: Api) -> None:
    job = job_of(api)
    job.submit(2, [], POD)
    api.log_status = 400
    job.follow()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_waited_out_and_what_does_not_is_one_line(api: Api, status: int) -> None:
    api.faults = [status, status]
    job_of(api).submit(2, [], POD)
    assert api.job is not None
    for refusal, fix in ((403, "Role arxtune-trainer"), (404, "install Kubeflow Trainer 2.2")):
        api.faults = [refusal] * 3
        with pytest.raises(ClusterError, match=fix):
            job_of(api).ask(lambda: job_of(api).client.get_job("arxtune-0123"))
        api.faults = []


def test_outside_of_a_cluster_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ToolError, match=r"this is no pod; set finetune.nodes=1"):
        run_on_nodes(FinetuneConfig(base_model="tiny", nodes=2), "s3://x", "requests/1")


CHILD = """
import sys
from components.finetune import trainjob
from components.finetune.config import FinetuneConfig
from components.shared.lifetime import exit_cleanly_on_sigterm
from tests.components.finetune.test_trainjob import POD
exit_cleanly_on_sigterm()
trainjob.own_pod = lambda namespace: POD
trainjob.NAMESPACE = __import__("pathlib").Path(sys.argv[1])
trainjob.run_on_nodes(FinetuneConfig(base_model="tiny", nodes=2), "s3://x", "requests/0123")
"""


def test_a_run_that_is_ended_takes_its_job_back(api: Api, tmp_path: Path) -> None:
    api.ends = [""]
    (tmp_path / "namespace").write_text("ns")
    one = {"cluster": "c", "user": "u"}
    kubeconfig = {
        "contexts": [{"name": "x", "context": one}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(kubeconfig))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "namespace")],
        cwd=ROOT,
        env={"KUBERNETES_SERVICE_HOST": "x", "KUBECONFIG": str(tmp_path / "config")},
    )
    while api.job is None and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    child.wait(60)
    assert api.deleted == 1
