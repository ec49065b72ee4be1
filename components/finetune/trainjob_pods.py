"""The pods of a TrainJob: what the first of them says, and why they wait or failed."""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from components.shared.cluster import Cluster
from components.shared.progress import MARK, say
from components.shared.stage import ERROR_MARK

NODE = "node"  # the trainer's name for a training's job and its container
INDEX = "batch.kubernetes.io/job-completion-index"
ABSENT = (
    400,
    404,
)  # what the API answers for the log of a container that has not started, or of a pod that is gone
TAIL_LINES = 100  # of a log, in which the reason of a failure is looked for
STARTING = ("ContainerCreating", "PodInitializing")

Pod = dict[str, Any]


class TrainJobPods:
    """The pods of the TrainJob `job`, in this pod's namespace."""

    def __init__(self, cluster: Cluster, job: str) -> None:
        from kubernetes import client

        self.cluster, self.job = cluster, job
        self._api = client.CoreV1Api(cluster.client)
        self._selector = f"jobset.sigs.k8s.io/jobset-name={job}"
        self._reading = ""  # the pod whose log is read,
        self._stamp = ""  # the time of its last line, by the clock of its node,
        self._read_at = 0.0  # and when that was
        self.look = f"look into it: kubectl logs -n {cluster.namespace} -l {self._selector}"

    def own(self) -> Pod:
        """Return the pod that asks."""
        pod: Pod = json.loads(self._read(self._api.read_namespaced_pod, name=self.cluster.pod))
        return pod

    def list(self) -> list[Pod]:
        """Return the pods that are there, in the order of their nodes; of each node's the newest first."""
        pods = json.loads(self._read(self._api.list_namespaced_pod, label_selector=self._selector))[
            "items"
        ]
        newest = sorted(
            pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True
        )
        return sorted(newest, key=lambda pod: int(pod["metadata"]["labels"].get(INDEX, 0)))

    def say_new_lines(self, pods: Sequence[Pod]) -> None:
        """Say what the first node's pod has said since the last call."""
        if not pods:
            return
        name, now = pods[0]["metadata"]["name"], time.monotonic()
        since = {"since_seconds": round(now - self._read_at) + 5} if name == self._reading else {}
        text = self._log(name, timestamps=True, **since)
        if text is None:
            return
        stamp = self._stamp if since else ""
        for line in text.splitlines():
            when, _, words = line.partition(" ")
            if when > stamp:  # all of one length, in one zone
                stamp = when
                if words.startswith(MARK):
                    stage, _, message = words.removeprefix(MARK).partition(" ")
                    say(stage, message.strip())
        self._reading, self._stamp, self._read_at = name, stamp, now

    def why_waiting(self, pods: Sequence[Pod]) -> str:
        """Return what keeps the pods from running."""
        for pod in pods:
            name, status = pod["metadata"]["name"], pod.get("status", {})
            for one in status.get("conditions") or []:
                if one["type"] == "PodScheduled" and one["status"] == "False":
                    return f"no node for the pod {name}: {one.get('message', one.get('reason'))}"
            for one in status.get("containerStatuses") or []:
                waiting = one.get("state", {}).get("waiting")
                if waiting and waiting.get("reason") not in STARTING:
                    return f"the pod {name} does not start: {waiting.get('reason')}: {waiting.get('message', '')}"
        return "its pods start" if pods else self._warning() or "its pods are made"

    def why_failed(self, pods: Sequence[Pod]) -> str:
        """Return the error line of a pod, else how one ended."""
        for pod in pods:
            text = self._log(pod["metadata"]["name"], tail_lines=TAIL_LINES) or ""
            errors = [line for line in text.splitlines() if line.startswith(ERROR_MARK)]
            if errors:
                return errors[-1].removeprefix(ERROR_MARK)
        for pod in pods:
            for one in pod.get("status", {}).get("containerStatuses") or []:
                ended = one.get("state", {}).get("terminated") or {}
                if ended.get("exitCode"):
                    name = pod["metadata"]["name"]
                    return f"the pod {name} ended with {ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
        return ""

    def _warning(self) -> str:
        """Return the newest warning about what makes the pods: a quota that is used up, an account that is missing."""
        events = json.loads(
            self._read(self._api.list_namespaced_event, field_selector="type=Warning")
        )["items"]
        about = [
            event
            for event in events
            if event["involvedObject"].get("name", "").startswith(self.job)
        ]
        newest: dict[str, Any] = max(
            about,
            key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "",
            default={},
        )
        return re.sub(
            r' "[^"]*"', "", newest.get("message", "")
        )  # names of pods, another one at each try

    def _log(self, name: str, **options: Any) -> str | None:
        method = self._api.read_namespaced_pod_log
        data = self._read(method, name=name, container=NODE, absent=ABSENT, **options)
        return None if data is None else data.decode("utf-8", "replace")

    def _read(self, method: Callable[..., Any], **options: Any) -> Any:
        """Return what the API answers as it is: the client's own models refuse objects that a cluster thinks fine."""

        def read(**more: Any) -> Any:
            return method(_preload_content=False, **more).data

        return self.cluster.call(f"cannot see the pods of the TrainJob {self.job}", read, **options)
