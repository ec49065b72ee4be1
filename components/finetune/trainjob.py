"""Train on several nodes: by a TrainJob, placed as the stage's own pod, which only waits."""

import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from components.finetune.config import FinetuneConfig
from components.shared.cluster import NAMESPACE
from components.shared.errors import ClusterError, ToolError
from components.shared.progress import MARK, say
from components.shared.stage import ERROR_MARK

NODE_RESOURCES = "ARXTUNE_NODE_RESOURCES"  # variables of the stage's pod, of pipelines/placement.py
NODE_QUEUE = "ARXTUNE_NODE_QUEUE"
QUEUE = "kueue.x-k8s.io/queue-name"
COMMAND = ("python3", "-m", "torch.distributed.run", "--module", "components.finetune.worker")
POLL_S = 10.0
MAX_FAILURES = 30  # of the API in a row: five minutes, in which a control plane comes back
FIXES = {
    403: "bind the Role arxtune-trainer, of arxtune deploy --component trainer, to this account",
    404: "install Kubeflow Trainer 2.2, arxtune deploy --component trainer; or finetune.nodes=1",
}


def run_on_nodes(config: FinetuneConfig, store_url: str, request: str) -> None:
    """Train what `request` in the store says on `config.nodes` nodes, to the end."""
    from kubeflow.common.types import KubernetesBackendConfig
    from kubeflow.trainer import TrainerClient

    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise ToolError(f"finetune.nodes={config.nodes}: this is no pod", "set finetune.nodes=1")
    namespace = NAMESPACE.read_text("utf-8").strip()
    client = TrainerClient(KubernetesBackendConfig(namespace=namespace))
    # Named by what is asked for: a second try of the stage follows the TrainJob of the first.
    job = TrainJob(client, f"arxtune-{request.rpartition('/')[2][:16]}")
    try:
        job.submit(config.nodes, [store_url, request], own_pod(namespace))
        job.follow()
    except (SystemExit, KeyboardInterrupt):
        # A run that was ended holds no GPUs. After SIGKILL the TrainJob lives on.
        job.ask(lambda: client.delete_job(job.name))
        raise


class TrainJob:
    """One TrainJob of this pod's namespace."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name, self._said, self._lines = client, name, "", 0

    def submit(self, nodes: int, arguments: Sequence[str], pod: dict[str, Any]) -> None:
        """Create the TrainJob, unless one of an earlier or quicker try is at the same work."""
        while found := self.ask(lambda: self.client.get_job(self.name), (404,)):
            if found.status not in ("Complete", "Failed"):
                self._say("there already, following it")
                return
            self._say(f"an earlier one is {found.status.lower()} and left no adapter: deleting it")
            self.ask(lambda: self.client.delete_job(self.name), (404,))
            time.sleep(POLL_S)
        what = describe(self.name, nodes, arguments, pod)
        self.ask(lambda: self.client.train("arxtune", **what), (409,))
        self._say(f"submitted, on {nodes} nodes")

    def follow(self) -> None:
        """Say what the TrainJob does until it is complete; raise ClusterError when it fails."""
        while True:
            found = self.ask(lambda: self.client.get_job(self.name), (404,))
            if found is None:
                raise ClusterError(f"the TrainJob {self.name} was deleted too early", "run again")
            last = self._say_new_lines()
            if found.status == "Failed":
                fix = f"kubectl logs -l jobset.sigs.k8s.io/jobset-name={self.name}"
                raise ClusterError(f"the TrainJob {self.name} failed: {last or '?'}", fix)
            self._say(found.status.lower())
            if found.status == "Complete":
                return
            time.sleep(POLL_S)

    def ask(self, call: Callable[[], Any], absent: Collection[int] = ()) -> Any:
        """Ask the SDK, again while that may help; return None for a status in `absent`."""
        for left in reversed(range(MAX_FAILURES)):
            try:
                return call()
            except (RuntimeError, TimeoutError) as error:
                cause = error.__cause__ or error
                status = getattr(cause, "status", 0)
                if status in absent:
                    return None
                problem = f"the TrainJob {self.name}: {error}: {getattr(cause, 'reason', cause)}"
                if not left or status in FIXES:
                    raise ClusterError(problem, FIXES.get(status, ""), status) from None
                time.sleep(POLL_S)
        return None

    def _say(self, state: str) -> None:
        if state != self._said:
            self._said = state
            say("finetune", f"TrainJob {self.name}: {state}")

    def _say_new_lines(self) -> str:
        """Say what the first node has said since the last call; return its last error line."""
        lines = self.ask(lambda: list(self.client.get_job_logs(self.name)), (400, 404)) or []
        new, self._lines = lines[self._lines :], len(lines)  # none of a node that has not started
        for line in new:
            if line.startswith(MARK):
                stage, _, message = line.removeprefix(MARK).partition(" ")
                say(stage, message.strip())
        errors = [line for line in lines if line.startswith(ERROR_MARK)]
        return "".join(errors[-1:]).removeprefix(ERROR_MARK)


def own_pod(namespace: str) -> dict[str, Any]:
    """Return the spec of the pod that asks."""
    from kubernetes import client, config

    config.load_incluster_config()
    core = client.CoreV1Api()
    pod = core.read_namespaced_pod(os.environ["KFP_POD_NAME"], namespace, _request_timeout=60)
    return dict(core.api_client.sanitize_for_serialization(pod.spec))


def describe(
    name: str, nodes: int, arguments: Sequence[str], pod: dict[str, Any]
) -> dict[str, Any]:
    """Return trainer and options of the TrainJob, with image and place of `pod`, the stage's."""
    from kubeflow.trainer import CustomTrainerContainer, options

    main = next(one for one in pod["containers"] if one["name"] == "main")
    limits = json.loads(os.environ.get(NODE_RESOURCES, "null")) or main["resources"]["limits"]
    account, taints = pod.get("serviceAccountName"), pod.get("tolerations")
    selector = pod.get("nodeSelector")
    place = options.PodSpecPatch(account, node_selector=selector, tolerations=taints)
    template = options.PodTemplatePatch(spec=place)
    job = options.JobTemplatePatch(spec=options.JobSpecPatch(template=template))
    jobs = [options.ReplicatedJobPatch(name="node", template=job)]
    job_set = options.JobSetTemplatePatch(spec=options.JobSetSpecPatch(replicated_jobs=jobs))
    labels = {"app.kubernetes.io/part-of": "arxtune"}
    if queue := os.environ.get(NODE_QUEUE):
        labels[QUEUE] = queue
    patches = [
        options.Name(name),
        options.Labels(labels),
        options.TrainerCommand([*COMMAND, *arguments]),
        options.ActiveDeadlineSeconds(24 * 3600),  # as long as the stage's own pod may live
        options.RuntimePatch(options.TrainingRuntimeSpecPatch(template=job_set)),
    ]
    container = CustomTrainerContainer(main["image"], num_nodes=nodes, resources_per_node=limits)
    return {"trainer": container, "options": patches}
