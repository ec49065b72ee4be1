"""A training on several nodes: a TrainJob of Kubeflow's trainer, submitted, followed and taken back on SIGTERM.

The stage's pod only waits. What the pods of a training are is said by the TrainingRuntime `arxtune` of
manifests/components/trainer; image, nodes and account are copied from the stage's own pod, so that a run's
parameters hold for them too. The trainer gives each pod the variables (PET_*) that torchrun reads.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.finetune.config import FinetuneConfig
from components.finetune.recipe import accumulation_for
from components.finetune.trainjob_pods import NODE, TrainJobPods
from components.shared.cluster import Cluster, in_cluster
from components.shared.errors import ClusterError
from components.shared.progress import say

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
RUNTIME = "arxtune"
NODE_RESOURCES = "arxtune.dev/node-resources"  # annotations by which pipelines/placement.py tells what a node gets
NODE_QUEUE = "arxtune.dev/node-queue"
QUEUE = "kueue.x-k8s.io/queue-name"
LONGEST_S = 24 * 3600  # as long as the stage's own pod may live
LOOK_S = 10  # between looks at a TrainJob that does not change
COMMAND = ("python3", "-m", "torch.distributed.run", "--module", "components.finetune.worker")
ONE_NODE = "set finetune.nodes=1"
GRANT = "arxtune deploy --component trainer makes the Role arxtune-trainer: bind it to this pod's account"


def run_on_nodes(config: FinetuneConfig, store_url: str, request: str) -> None:
    """Train what `request` in the store says on `config.nodes` nodes; return when the TrainJob is complete."""
    cluster = in_cluster(f"finetune.nodes={config.nodes}", ONE_NODE, GRANT)
    # Named by what is asked for: a second try of the stage finds the TrainJob of the first one, and follows it.
    job = TrainJob(cluster, f"arxtune-{request.rpartition('/')[2][:16]}")
    try:
        job.submit(config, [store_url, request])
        job.follow()
    except (SystemExit, KeyboardInterrupt):
        # A run that was ended holds no GPUs: its pods write a checkpoint, from which the next try goes on. After a
        # SIGKILL the TrainJob lives on, until the next try follows it or the run's Workflow, its owner, is deleted.
        job.delete()
        raise


class TrainJob:
    """One TrainJob of this pod's namespace."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        from kubernetes import client

        self.cluster, self.name, self._said = cluster, name, ""
        self._api = client.CustomObjectsApi(cluster.client)
        self._pods = TrainJobPods(cluster, name)

    def submit(self, config: FinetuneConfig, arguments: Sequence[str]) -> None:
        """Create the TrainJob, unless one is there that does the same work: of an earlier try, or of another run."""
        while found := self._read():
            if found["metadata"].get("deletionTimestamp"):
                self._say("an earlier one is being deleted")
                self._wait(found)
            elif outcome := outcome_of(
                found
            ):  # of no use: were its adapter in the store, nobody would ask for it
                self._say(f"an earlier one is {outcome.lower()} and left no adapter: deleting it")
                self.delete()
            else:
                self._say("there already, following it")
                return
        body = describe(self.name, config, arguments, self._pods.own())
        trainer = body["spec"]["trainer"]
        accumulation_for(
            config, trainer["numNodes"] * trainer["numProcPerNode"]
        )  # before GPUs are waited for
        self._create(body)
        self._say(f"submitted, on {config.nodes} nodes")

    def follow(self) -> None:
        """Return when the TrainJob is complete, and say on the way what it does; raise ClusterError when it fails."""
        while True:
            found = self._read()
            if found is None or found["metadata"].get("deletionTimestamp"):
                fix = "run again: the training goes on from its last checkpoint"
                raise ClusterError(f"the TrainJob {self.name} was deleted before its end", fix)
            outcome, pods = outcome_of(found), self._pods.list()
            self._pods.say_new_lines(pods)
            if outcome == "Failed":
                why = self._pods.why_failed(pods) or condition(found, "Failed").get(
                    "message", "it does not say why"
                )
                raise ClusterError(f"the TrainJob {self.name} failed: {why}", self._pods.look)
            self._say(outcome.lower() or state_of(found) or self._pods.why_waiting(pods))
            if outcome:
                return
            self._wait(found)

    def delete(self) -> None:
        """Delete the TrainJob with all that belongs to it, if it is there."""
        method = self._api.delete_namespaced_custom_object
        self._call("delete", method, name=self.name, propagation_policy="Foreground", absent=(404,))

    def _say(self, state: str) -> None:
        if state != self._said:
            self._said = state
            say("finetune", f"TrainJob {self.name}: {state}")

    def _create(self, body: Mapping[str, Any]) -> None:
        """Create the TrainJob; that another one was quicker (409) is as good."""
        self._check_runtime()
        try:
            # Strict: an older trainer would drop the fields that it does not know, and place the pods anywhere.
            method = self._api.create_namespaced_custom_object
            self._call("create", method, body=body, field_validation="Strict", absent=(409,))
        except ClusterError as error:
            if "unknown field" in error.problem:
                raise ClusterError(
                    error.problem, f"install Kubeflow Trainer 2.2 or newer, or {ONE_NODE}"
                ) from None
            raise

    def _check_runtime(self) -> None:
        method = self._api.get_namespaced_custom_object
        try:
            self._call("look up the runtime of", method, plural="trainingruntimes", name=RUNTIME)
        except ClusterError as error:
            if error.http_status != 404:
                raise
            if f'"{RUNTIME}" not found' in error.problem:
                problem = f"there is no TrainingRuntime {RUNTIME} in {self.cluster.namespace}"
                raise ClusterError(problem, "arxtune deploy --component trainer", 404) from None
            raise ClusterError(
                "the cluster has no Kubeflow Trainer", f"install it, or {ONE_NODE}", 404
            ) from None

    def _read(self) -> dict[str, Any] | None:
        method = self._api.get_namespaced_custom_object
        found: dict[str, Any] | None = self._call("read", method, name=self.name, absent=(404,))
        return found

    def _call(
        self, verb: str, method: Callable[..., Any], *, plural: str = "trainjobs", **more: Any
    ) -> Any:
        what = f"cannot {verb} the TrainJob {self.name}"
        return self.cluster.call(what, method, group=GROUP, version=VERSION, plural=plural, **more)

    def _wait(self, found: Mapping[str, Any]) -> None:
        """Return when the TrainJob changes, or soon; however the watch ends, what follows is a fresh look."""
        from kubernetes.client import ApiException
        from kubernetes.watch import Watch
        from urllib3.exceptions import HTTPError

        changes = Watch().stream(
            self._api.list_namespaced_custom_object,
            *(GROUP, VERSION, self.cluster.namespace, "trainjobs"),
            field_selector=f"metadata.name={self.name}",
            resource_version=found["metadata"]["resourceVersion"],
            timeout_seconds=LOOK_S,
            _request_timeout=LOOK_S + 30,
        )
        try:
            with contextlib.closing(changes):
                next(changes, None)
        except (
            ApiException,
            HTTPError,
        ):  # 410: the version is too old; 401: the token; or the connection broke
            time.sleep(LOOK_S)


def describe(
    name: str, config: FinetuneConfig, arguments: Sequence[str], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the TrainJob of a training; `own` is the pod of the stage, whose image and place it copies."""
    metadata, spec = own["metadata"], own["spec"]
    told = metadata.get("annotations", {})
    main = next((one for one in spec["containers"] if one["name"] == "main"), spec["containers"][0])
    resources = (
        json.loads(told[NODE_RESOURCES]) if NODE_RESOURCES in told else main.get("resources", {})
    )
    queue = told.get(NODE_QUEUE) or metadata.get("labels", {}).get(QUEUE)
    owners = metadata.get(
        "ownerReferences", []
    )  # the Workflow; it controls its pods, but not what they make
    place = {
        key: spec[key]
        for key in ("nodeSelector", "tolerations", "serviceAccountName")
        if spec.get(key)
    }
    patch: dict[str, Any] = {"name": NODE, "template": {"spec": {"template": {"spec": place}}}}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "arxtune", **({QUEUE: queue} if queue else {})},
            "ownerReferences": [
                {key: one[key] for key in ("apiVersion", "kind", "name", "uid")} for one in owners
            ],
        },
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": RUNTIME},
            "trainer": {
                "image": main["image"],
                "command": [*COMMAND, *arguments],
                "numNodes": config.nodes,
                "numProcPerNode": config.processes or gpus_of(resources) or 1,
                "resourcesPerNode": resources,
            },
            "runtimePatches": [
                {
                    "manager": "arxtune.dev/finetune",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [patch]}}},
                }
            ],
            "activeDeadlineSeconds": LONGEST_S,
        },
    }


def gpus_of(resources: Mapping[str, Any]) -> int:
    """Return how many devices the limits name: resources of a vendor, such as nvidia.com/gpu."""
    return sum(int(count) for name, count in resources.get("limits", {}).items() if "/" in name)


def condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of the TrainJob that is true, or nothing."""
    there = job.get("status", {}).get("conditions", [])
    return next((one for one in there if one["type"] == kind and one["status"] == "True"), {})


def outcome_of(job: Mapping[str, Any]) -> str:
    """Return Complete, Failed, or nothing while it lasts."""
    return next((kind for kind in ("Complete", "Failed") if condition(job, kind)), "")


def state_of(job: Mapping[str, Any]) -> str:
    """Return what the TrainJob does, where it tells."""
    if condition(job, "Suspended"):
        return "suspended: it waits in its queue"
    return (
        "all its pods run"
        if any(one.get("ready") for one in job.get("status", {}).get("jobsStatus", []))
        else ""
    )
