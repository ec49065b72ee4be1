"""Runs on a cluster: submit one and watch it, read its logs; the schedule of others."""

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say
from pipelines import deploy
from pipelines.kubeflow import Kubeflow, add_connection
from pipelines.manifests import Kubectl
from pipelines.names import PIPELINE
from pipelines.stages import STAGES

POLL_SECONDS = 10
MAX_FAILURES = 30  # looks in a row: five minutes
LAST_LINES = 20  # of the stage that failed
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
NODE = "workflows.argoproj.io/node-name"  # arxtune-x7k2p.root(0).scrape(0).executor(1)


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune submit`, `logs` and `schedule` to the command line."""
    submit = commands.add_parser("submit", help="start a run of the deployed pipeline, watch it")
    submit.add_argument("--no-wait", action="store_true", help="do not watch it")
    deploy.add_parameters(submit)
    submit.set_defaults(command=_submit)

    logs = commands.add_parser("logs", help="print what the stages of a run and their drivers said")
    logs.add_argument("run", help="its id, as `arxtune submit` and the dashboard tell it")
    logs.add_argument("--stage", default="", choices=STAGES, help="of one stage alone")
    logs.set_defaults(command=_logs)

    schedule = commands.add_parser("schedule", help="manage what `deploy --schedule` makes")
    schedule.add_argument("action", choices=("list", "remove"))
    schedule.set_defaults(command=_schedule)
    for parser in (logs, schedule):
        add_connection(parser)


def _submit(arguments: argparse.Namespace) -> None:
    parameters = deploy.run_parameters(arguments)
    kubeflow = Kubeflow(arguments)
    version, compiled = deploy.package(arguments)
    wanted = {
        **deploy.run_of(kubeflow, version, compiled, parameters, arguments.service_account),
        "display_name": f"{PIPELINE} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
        "experiment_id": deploy.ensure_experiment(kubeflow),
    }
    run = kubeflow.ask("create_run", wanted).run_id
    print(f"run {run}: {kubeflow.host}/#/runs/details/{run}", flush=True)
    if arguments.no_wait:
        return
    failed = watch(kubeflow, run)
    if shutil.which("kubectl"):
        kubectl = Kubectl(arguments.namespace, arguments.context)
        if failed is None:
            fetch_report(kubectl, run, Path(f"report-{run}.html"))
        elif failed:
            show_logs(kubectl, run, failed, LAST_LINES)
    if failed is not None:
        raise ClusterError(f"run {run}: failed in {failed or 'no stage'}", f"arxtune logs {run}")


def watch(kubeflow: Kubeflow, run: str) -> str | None:
    """Print each stage's start and end, once; return None for success, else the stage that failed.

    The server reports a task for each node of Argo's graph: drivers, retries, executors too.
    """
    told, started, state, failures = set(), time.monotonic(), "", 0
    while state not in ENDED:
        if state or failures:
            time.sleep(POLL_SECONDS)
        try:
            found = kubeflow.ask("get_run", run)
        except ClusterError as error:  # a server that restarts refuses connections for a while
            failures += 1
            if error.http_status or failures > MAX_FAILURES:
                raise
            continue
        state, failures = found.state or "PENDING", 0
        tasks = (found.run_details and found.run_details.task_details) or []
        for task in tasks:
            known = task.display_name in STAGES and task.state in ("RUNNING", *ENDED)
            if known and (task.task_id, task.state) not in told:
                told.add((task.task_id, task.state))
                word = task.state.lower().replace("running", "started")
                say(task.display_name, f"{word}  {time.monotonic() - started:.0f} s")
    print(f"run {run}: {state.lower()} after {time.monotonic() - started:.0f} s")
    if state == "SUCCEEDED":
        return None
    failed = [str(task.display_name) for task in tasks if task.state == "FAILED"]
    # A stage whose driver failed has no task of its own name.
    return next((stage for stage in STAGES if {stage, f"{stage}-driver"} & set(failed)), "")


def _logs(where: argparse.Namespace) -> None:
    show_logs(Kubectl(where.namespace, where.context), where.run, where.stage)


def show_logs(kubectl: Kubectl, run: str, stage: str, lines: int = -1) -> None:
    """Print what the pods of a run or stage said, drivers first."""
    pods = [pod for name, pod in _pods(kubectl, run) if name and stage in ("", name)]
    if not pods:
        raise ConfigError(f"run {run}: no pod of it is left", "the dashboard has archived logs")
    for pod in pods:
        main = ("-c", "main", "--prefix", f"--tail={lines}")
        kubectl.show("logs", pod["metadata"]["name"], *main, fine=(0, 1))


def _pods(kubectl: Kubectl, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pods of a run, oldest first, each with its stage or ""."""
    found = kubectl.read(f"/pods?labelSelector=pipeline/runid%3D{run}").get("items", [])
    for pod in sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        path = pod["metadata"].get("annotations", {}).get(NODE, "")
        names = re.findall(r"\.([a-z]+)(?:-driver)?(?:\(\d+\))?", path)
        yield next((name for name in names if name in STAGES), ""), pod


def fetch_report(kubectl: Kubectl, run: str, path: Path) -> None:
    """Write the report of a run, through the dashboard's server, which may read the artifacts."""
    # The launcher is told where each output goes, in JSON within the JSON of its arguments.
    pattern = r"report.{0,40}?artifacts.{0,400}?uri[\\\": ]+(\w+)://([^/]+)/([^\\\"]+)"
    told = "in the dashboard, the HTML artifact of evaluate"
    with contextlib.suppress(ClusterError):
        pods = [json.dumps(pod) for stage, pod in _pods(kubectl, run) if stage == "evaluate"]
        for source, bucket, key in re.findall(pattern, "".join(pods))[-1:]:  # of the last try
            where = {"source": source, "bucket": bucket, "key": key, "namespace": kubectl.namespace}
            asked = f"ml-pipeline-ui:http/proxy/artifacts/get?{urllib.parse.urlencode(where)}"
            address = f"{kubectl.space}/services/{asked}"
            path.write_text(kubectl.show("get", "--raw", address, stdout=subprocess.PIPE), "utf-8")
            told = str(path)
    print(f"report: {told}")


def _schedule(arguments: argparse.Namespace) -> None:
    kubeflow = Kubeflow(arguments)
    found = kubeflow.find("recurring_runs", PIPELINE)
    if not found:
        print("there is no schedule; arxtune deploy --schedule makes one")
    for one in found:
        if arguments.action == "list":
            print(f"{one.display_name}  {str(one.status).lower()}  {one.description or ''}")
        else:
            deploy.remove(kubeflow, one.recurring_run_id)
