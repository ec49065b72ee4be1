"""A training on several nodes is submitted once, followed whatever breaks, and taken back when its run is ended."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from kubernetes import client

from components.finetune import trainjob
from components.finetune.config import FinetuneConfig
from components.finetune.trainjob import describe, run_on_nodes
from components.shared import cluster
from components.shared.errors import ClusterError
from tests.components.finetune.trainjob_api import (
    CORE,
    JOBS,
    RUNTIME,
    STAGE_POD,
    TrainJobServer,
    pod_of,
)

REQUEST = "requests/0123456789abcdef0123"
NAME = "arxtune-0123456789abcdef"
CONFIG = FinetuneConfig(base_model="tiny", nodes=2)
CHILD = """
import sys
from kubernetes import client
from components.finetune import trainjob
from components.finetune.config import FinetuneConfig
from components.shared.cluster import Cluster
from components.shared.lifetime import exit_cleanly_on_sigterm
exit_cleanly_on_sigterm()
api = client.ApiClient(client.Configuration(host=sys.argv[1]))
trainjob.in_cluster = lambda *_: Cluster(api, "ns", "stage")
trainjob.run_on_nodes(FinetuneConfig(base_model="tiny", nodes=2), sys.argv[3], sys.argv[2])
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainjob, "LOOK_S", 0.05)
    monkeypatch.setattr(cluster, "LONGEST_S", 0.01)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainJobServer]:
    with TrainJobServer() as server:
        own = client.ApiClient(client.Configuration(host=server.url))
        monkeypatch.setattr(
            trainjob, "in_cluster", lambda *_: cluster.Cluster(own, "ns", "stage", trainjob.GRANT)
        )
        yield server


def run() -> None:
    run_on_nodes(CONFIG, "s3://arxtune", REQUEST)


class Following:
    """The stage in a thread of its own."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            run()
        except Exception as error:
            self.error = error

    def ended(self) -> Exception | None:
        self._thread.join(300)
        assert not self._thread.is_alive()
        return self.error


def wait_for(happens: Any) -> None:
    until = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.01)


def asked(api: TrainJobServer, words: str) -> int:
    return sum(bool(re.search(words, request)) for request in api.requests)


def succeed(api: TrainJobServer, job: dict[str, Any]) -> None:
    api.update(job["metadata"]["name"], "Complete")


def test_a_training_is_submitted_followed_and_said(
    api: TrainJobServer, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""

    def heard(words: str) -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return words in said

    following = Following()
    wait_for(lambda: heard(f"TrainJob {NAME}: submitted, on 2 nodes"))
    api.update(NAME, "Suspended")
    wait_for(lambda: heard("suspended: it waits in its queue"))
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient gpu",
    }
    api.pods = [pod_of(NAME, 0), pod_of(NAME, 1, conditions=[unscheduled])]
    api.update(NAME)
    wait_for(lambda: heard(f"no node for the pod {NAME}-node-0-1-abcde: 0/3 nodes are available"))
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    api.pods[1] = pod_of(NAME, 1, containerStatuses=[{"name": "node", **waiting}])
    wait_for(lambda: heard("does not start: ImagePullBackOff: no such image"))
    log = api.logs[f"{NAME}-node-0-0-abcde"] = [
        (time.time(), "| finetune  step 1"),
        (time.time(), "a library's words"),
    ]
    api.update(NAME, ready=1)
    wait_for(lambda: heard("all its pods run"))
    log.append((time.time(), "| finetune  step 2"))
    wait_for(lambda: heard("step 2"))
    api.update(NAME, "Complete")
    assert following.ended() is None
    assert heard("complete")
    assert re.findall(r"step \d|library", said) == ["step 1", "step 2"]
    assert api.deleted == []


def test_the_trainjob_is_what_the_stages_pod_is(api: TrainJobServer) -> None:
    api.on_create = succeed
    run()
    job = api.jobs[NAME]
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "run",
        "uid": "u1",
    }
    trainer = job["spec"]["trainer"]
    assert trainer["image"] == "registry.example/team/llm:0.1.0"
    assert trainer["command"][-3:] == ["components.finetune.worker", "s3://arxtune", REQUEST]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 2)
    assert trainer["resourcesPerNode"] == {
        "requests": {"cpu": "4"},
        "limits": {"cpu": "8", "nvidia.com/gpu": "2"},
    }
    (patch,) = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"][
        "replicatedJobs"
    ]
    own = STAGE_POD["spec"]
    assert patch["template"]["spec"]["template"]["spec"] == {
        key: own[key] for key in ("nodeSelector", "tolerations", "serviceAccountName")
    }


def test_a_pod_that_only_waits_tells_what_a_node_gets() -> None:
    node = {"requests": {"cpu": "4"}, "limits": {"memory": "48Gi", "amd.com/gpu": 8}}
    told = {trainjob.NODE_RESOURCES: json.dumps(node), trainjob.NODE_QUEUE: "team"}
    own = {**STAGE_POD, "metadata": {**STAGE_POD["metadata"], "annotations": told}}
    job = describe(NAME, FinetuneConfig(nodes=4), [], own)
    assert job["spec"]["trainer"]["resourcesPerNode"] == node
    assert job["spec"]["trainer"]["numProcPerNode"] == 8
    assert job["metadata"]["labels"][trainjob.QUEUE] == "team"


@pytest.mark.parametrize(
    "fault",
    [
        "410 too old resource version",
        "401 Unauthorized",
        "500 etcd is away",
        "429 slow down",
        "drop",
    ],
)
def test_what_breaks_on_the_way_is_lived_through(api: TrainJobServer, fault: str) -> None:
    every = ["watch=", f"GET {JOBS}/", "GET .*labelSelector", "GET .*/log"]
    api.logs[f"{NAME}-node-0-0-abcde"] = []
    api.pods = [pod_of(NAME, 0)]
    if "410" not in fault:
        api.faults = [(where, fault) for where in every for _ in range(3)] + [
            ("POST", fault),
            ("pods/stage", fault),
        ]
    else:
        api.faults = [("watch=", fault)] * 3
    following = Following()
    wait_for(lambda: not api.faults)
    api.update(NAME, "Complete")
    assert following.ended() is None
    assert list(api.jobs) == [NAME]


def test_an_expired_watch_is_opened_anew(
    api: TrainJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {
        "kind": "Status",
        "code": 410,
        "reason": "Expired",
        "message": "too old resource version",
    }
    api.answers[JOBS] = (200, json.dumps({"type": "ERROR", "object": gone}) + "\n")
    own = {"metadata": {"name": NAME, "resourceVersion": "1"}, "spec": {}}
    api.jobs[NAME] = own
    following = Following()
    wait_for(lambda: asked(api, "watch=") > 2)
    api.update(NAME, "Complete")
    assert following.ended() is None


def test_an_api_that_stays_away_ends_in_one_line(api: TrainJobServer) -> None:
    api.faults = [("GET", "503 away")] * 100
    with pytest.raises(
        ClusterError, match=r"cannot read the TrainJob .*: HTTP 503: away; is the API server up\?"
    ):
        run()


def test_a_restarted_stage_follows_the_trainjob_of_the_killed_one(api: TrainJobServer) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, api.url, REQUEST, "s3://arxtune"]) as stage:
        wait_for(lambda: asked(api, "watch="))
        stage.kill()
    assert list(api.jobs) == [NAME]
    following = Following()
    before = asked(api, "watch=")
    wait_for(lambda: asked(api, "watch=") > before + 1)
    api.update(NAME, "Complete")
    assert following.ended() is None
    assert asked(api, "POST") == 1
    assert api.deleted == []


def test_a_stage_that_is_ended_takes_the_trainjob_with_it(api: TrainJobServer) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, api.url, REQUEST, "s3://arxtune"]) as stage:
        wait_for(lambda: asked(api, "watch="))
        stage.send_signal(signal.SIGTERM)
        assert stage.wait(300) == 143
    assert api.deleted == [NAME]
    assert asked(api, f"DELETE {JOBS}/{NAME}.*propagationPolicy=Foreground") == 1


@pytest.mark.parametrize("outcome", ["Failed", "Complete"])
def test_one_that_is_over_and_left_no_adapter_is_made_anew(
    api: TrainJobServer, outcome: str
) -> None:
    api.jobs[NAME] = {"metadata": {"name": NAME, "uid": "old"}, "spec": {}}
    api.update(NAME, outcome)
    api.linger, api.on_create = 3, succeed
    run()
    assert api.deleted == [NAME]
    assert "uid" not in api.jobs[NAME]["metadata"]


def test_one_that_another_run_created_meanwhile_is_followed(api: TrainJobServer) -> None:
    def created_by_another(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        api.jobs[NAME] = {"metadata": {"name": NAME, "uid": "another's"}, "spec": {}}
        api.update(NAME, "Complete")
        return create(body)

    create = api.create
    api.create = created_by_another  # type: ignore[method-assign]
    run()
    assert api.jobs[NAME]["metadata"]["uid"] == "another's"


def test_a_failure_tells_the_workers_own_line(api: TrainJobServer) -> None:
    def fail(api: TrainJobServer, job: dict[str, Any]) -> None:
        api.pods = [pod_of(NAME, 0), pod_of(NAME, 1)]
        api.logs[f"{NAME}-node-0-1-abcde"] = [
            (1, "arxtune: error: no example fits into 16 tokens"),
            (2, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"),
        ]
        api.update(NAME, "Failed")

    api.on_create = fail
    with pytest.raises(
        ClusterError,
        match="failed: no example fits into 16 tokens; look into it: kubectl logs -n ns",
    ):
        run()


def test_a_failure_without_words_tells_how_a_pod_ended(api: TrainJobServer) -> None:
    ended = {"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    api.pods = [pod_of(NAME, 0, containerStatuses=[ended])]
    api.on_create = lambda api, _: api.update(NAME, "Failed")
    with pytest.raises(ClusterError, match="ended with OOMKilled, exit code 137"):
        run()
    api.pods = []
    with pytest.raises(ClusterError, match="failed: is failed"):
        run()


def test_a_quota_that_is_used_up_is_said_once(
    api: TrainJobServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(pod: str, when: str) -> dict[str, Any]:
        message = f'Error creating: pods "{pod}" is forbidden: exceeded quota: arxtune-gpus'
        about = {"name": f"{NAME}-node-0"}
        return {
            "message": message,
            "lastTimestamp": when,
            "involvedObject": about,
            "metadata": {"name": pod},
        }

    api.events = [refuse("a", "2026-01-01T00:00:00Z")]
    following = Following()
    wait_for(lambda: asked(api, "watch=") > 3)
    api.events.append(refuse("b", "2026-01-01T00:01:00Z"))
    before = asked(api, "watch=")
    wait_for(lambda: asked(api, "watch=") > before + 3)
    api.update(NAME, "Complete")
    assert following.ended() is None
    assert capsys.readouterr().out.count("pods is forbidden: exceeded quota: arxtune-gpus") == 1


FORBIDDEN = 'trainjobs is forbidden: User "x" cannot create resource "trainjobs"'


@pytest.mark.parametrize(
    ("path", "answer", "line"),
    [
        (
            RUNTIME,
            (404, "404 page not found\n"),
            "the cluster has no Kubeflow Trainer; install it, or set finetune.nodes=1",
        ),
        (
            RUNTIME,
            (404, {"message": 'trainingruntimes.trainer.kubeflow.org "arxtune" not found'}),
            "there is no TrainingRuntime arxtune in ns; arxtune deploy --component trainer",
        ),
        (JOBS, (403, {"message": FORBIDDEN}), "makes the Role arxtune-trainer: bind it"),
        (
            JOBS,
            (403, {"message": "exceeded quota: jobs"}),
            "cannot create the TrainJob .*: exceeded quota: jobs$",
        ),
        (
            JOBS,
            (400, {"message": 'unknown field "spec.runtimePatches"'}),
            "install Kubeflow Trainer 2.2 or newer",
        ),
        (
            f"{CORE}/pods/stage",
            (403, {"message": 'User "x" cannot get pods'}),
            "makes the Role arxtune-trainer",
        ),
    ],
)
def test_what_the_cluster_lacks_is_one_line(
    api: TrainJobServer, path: str, answer: tuple[int, Any], line: str
) -> None:
    api.answers[path] = answer
    with pytest.raises(ClusterError, match=line) as raised:
        run()
    assert "\n" not in str(raised.value)
    assert api.jobs == {}


def test_in_a_cluster_a_pod_knows_its_name_and_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "namespace").write_text("team\n")
    monkeypatch.setattr(
        "kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token")
    )
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setattr(client.Configuration, "_default", None)
    monkeypatch.setattr(cluster, "NAMESPACE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv("KFP_POD_NAME", "run-7-finetune")
    found = cluster.in_cluster("x", "y", "z")
    assert (found.namespace, found.pod) == ("team", "run-7-finetune")
    assert found.client.configuration.host == "https://10.0.0.1:443"
