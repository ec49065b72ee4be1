"""A stand-in of the Kubernetes API server, as far as TrainJobs, their pods and logs go; it can run a TrainJob here."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

from components.shared.loopback import LoopbackServer, QuickHandler

SCHEMA = json.loads((Path(__file__).parents[2] / "manifests/schemas/crds.json").read_text("utf-8"))[
    "TrainJob"
]["spec"]
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ns/trainjobs"
RUNTIME = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ns/trainingruntimes/arxtune"
CORE = "/api/v1/namespaces/ns"
JOBSET = "jobset.sigs.k8s.io/jobset-name"
INDEX = "batch.kubernetes.io/job-completion-index"
STAGE_POD: dict[str, Any] = {
    "metadata": {
        "name": "stage",
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": "run",
                "uid": "u1",
                "controller": True,
            }
        ],
    },
    "spec": {
        "serviceAccountName": "pipeline-runner",
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {"name": "wait", "image": "argoexec"},
            {
                "name": "main",
                "image": "registry.example/team/llm:0.1.0",
                "resources": {
                    "requests": {"cpu": "4"},
                    "limits": {"cpu": "8", "nvidia.com/gpu": "2"},
                },
            },
        ],
    },
}


class TrainJobServer(LoopbackServer):
    """Serve the namespace `ns` on loopback while the `with` block lasts.

    `on_create` is called in a thread of its own with each TrainJob that is made. `answers` by path take the place of
    the real ones, and each of `faults` goes to one request that the regular expression before it matches: a status
    and a message, or "drop", which breaks the connection off.
    """

    def __init__(
        self, on_create: Callable[["TrainJobServer", dict[str, Any]], None] | None = None
    ) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, list[tuple[float, str]]] = {}
        self.events: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {
            RUNTIME: (200, {}),
            f"{CORE}/pods/stage": (200, STAGE_POD),
        }
        self.faults: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.deleted: list[str] = []
        self.linger = 0  # reads for which a deleted TrainJob is still there
        self.on_create = on_create
        self.changed = threading.Condition()
        self._version = 0
        super().__init__(type("Handler", (_Handler,), {"api": self}))

    def update(self, name: str, conditions: str = "", ready: int = 0) -> None:
        """Set the status of a TrainJob: conditions that are true, such as "Complete", and how many jobs are ready."""
        with self.changed:
            true = [
                {"type": kind, "status": "True", "message": f"is {kind.lower()}"}
                for kind in conditions.split()
            ]
            self.jobs[name]["status"] = {
                "conditions": true,
                "jobsStatus": [{"name": "node", "ready": ready}],
            }
            self.touch(name)

    def touch(self, name: str) -> None:
        """Give a TrainJob a new version, and wake who watches."""
        with self.changed:
            self._version += 1
            self.jobs[name]["metadata"]["resourceVersion"] = str(self._version)
            self.changed.notify_all()

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Make a TrainJob, as the API server would: whole, and only once."""
        name = body["metadata"]["name"]
        with self.changed:
            if name in self.jobs:
                return 409, {"reason": "AlreadyExists", "message": f"{name} exists"}
            try:
                jsonschema.validate(body["spec"], SCHEMA)
            except jsonschema.ValidationError as error:
                return 400, {"message": f"strict decoding error: {error.message}"}
            self.jobs[name] = body
            self.touch(name)
        if self.on_create:
            threading.Thread(target=self.on_create, args=(self, body), daemon=True).start()
        return 201, body

    def delete(self, name: str) -> tuple[int, dict[str, Any]]:
        """Delete a TrainJob; it may linger."""
        with self.changed:
            if name not in self.jobs:
                return 404, {"message": f'trainjobs "{name}" not found'}
            self.deleted.append(name)
            self.jobs[name]["metadata"]["deletionTimestamp"] = "now"
            self.touch(name)
            if not self.linger:
                del self.jobs[name]
            return 200, {}

    def read(self, name: str) -> tuple[int, Any]:
        """Return a TrainJob."""
        with self.changed:
            held = self.jobs.get(name)
            if held and "deletionTimestamp" in held["metadata"]:
                self.linger -= 1
                if self.linger <= 0:
                    del self.jobs[name]
            return (200, held) if held else (404, {"message": f'trainjobs "{name}" not found'})

    def watch(self, name: str, version: str, seconds: float) -> dict[str, Any] | None:
        """Return the TrainJob when it has another version, or None."""

        def news() -> bool:
            return (
                name not in self.jobs or self.jobs[name]["metadata"]["resourceVersion"] != version
            )

        with self.changed:
            self.changed.wait_for(news, seconds)
            return self.jobs.get(name) if news() else None

    def log(self, pod: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Return what a pod has said, as the kubelet tells it."""
        if pod not in self.logs:
            return 400, {"message": f'container "node" in pod "{pod}" is waiting to start'}
        since = time.time() - float(query["sinceSeconds"][0]) if "sinceSeconds" in query else 0
        lines = [(when, text) for when, text in self.logs[pod] if when >= since]
        if "tailLines" in query:
            lines = lines[-int(query["tailLines"][0]) :]
        if "timestamps" in query:
            return 200, "".join(f"{_stamp(when)} {text}\n" for when, text in lines)
        return 200, "".join(f"{text}\n" for _, text in lines)


class _Handler(QuickHandler):
    api: TrainJobServer

    def _serve(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        asked = f"{self.command} {self.path}"
        self.api.requests.append(asked)
        for number, (pattern, fault) in enumerate(self.api.faults):
            if re.search(pattern, asked):
                del self.api.faults[number]
                if fault == "drop":
                    self.reset()
                else:
                    status, _, message = fault.partition(" ")
                    self._send(int(status), {"message": message})
                return
        if url.path in self.api.answers:
            self._send(*self.api.answers[url.path])
        elif url.path == JOBS and self.command == "GET":
            self._watch(query)
        elif url.path == JOBS:
            self._send(*self.api.create(body))
        elif url.path.startswith(f"{JOBS}/"):
            name = url.path.rpartition("/")[2]
            self._send(*(self.api.read(name) if self.command == "GET" else self.api.delete(name)))
        elif url.path.endswith("/log"):
            self._send(*self.api.log(url.path.split("/")[-2], query))
        elif url.path == f"{CORE}/pods":
            wanted = query["labelSelector"][0].partition("=")[2]
            self._send(
                200,
                {
                    "items": [
                        pod for pod in self.api.pods if pod["metadata"]["labels"][JOBSET] == wanted
                    ]
                },
            )
        else:
            self._send(200, {"items": self.api.events})

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def _watch(self, query: dict[str, list[str]]) -> None:
        name = query["fieldSelector"][0].partition("=")[2]
        news = self.api.watch(name, query["resourceVersion"][0], float(query["timeoutSeconds"][0]))
        self._send(200, json.dumps({"type": "MODIFIED", "object": news}) + "\n" if news else "")

    def _send(self, status: int, body: Any) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "text/plain" if isinstance(body, str) else "application/json"
        )
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def pod_of(job: str, index: int, **status: Any) -> dict[str, Any]:
    """Return a pod as the trainer would make it."""
    labels = {JOBSET: job, INDEX: str(index)}
    metadata = {
        "name": f"{job}-node-0-{index}-abcde",
        "labels": labels,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"containers": []}, "status": status}


def run_here(api: TrainJobServer, job: dict[str, Any]) -> None:
    """Run a TrainJob's pods as processes of this machine, with what the trainer's torch policy gives them."""
    name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes, readers = [], []
    for index in range(trainer["numNodes"]):
        rendezvous = {
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(index),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        process = subprocess.Popen(
            [sys.executable, *trainer["command"][1:]],
            env={**os.environ, **rendezvous},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        pod = pod_of(name, index)
        api.pods.append(pod)
        lines = api.logs.setdefault(pod["metadata"]["name"], [])
        processes.append(process)
        readers.append(threading.Thread(target=_collect, args=(process, lines), daemon=True))
        readers[-1].start()
    api.update(name, ready=1)
    while "deletionTimestamp" not in job["metadata"] and any(
        process.poll() is None for process in processes
    ):
        time.sleep(0.05)
    for process in processes:
        process.terminate()
    ends = [process.wait() for process in processes]
    for reader in readers:
        reader.join()
    if "deletionTimestamp" in job["metadata"]:
        api.pods.clear()
        api.jobs.pop(name, None)
    else:
        api.update(name, "Failed" if any(ends) else "Complete")


def _collect(process: subprocess.Popen[str], lines: list[tuple[float, str]]) -> None:
    assert process.stdout
    for line in process.stdout:
        lines.append((time.time(), line.rstrip("\n")))


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
