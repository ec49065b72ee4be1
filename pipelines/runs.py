"""Runs on a cluster: submit one and watch it, list them, read their logs, fetch the report."""

import argparse
import json
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.shared.errors import ArxtuneError, ClusterError, ConfigError
from components.shared.progress import say
from components.shared.stage import STAGES
from pipelines.deploy import (
    add_connection,
    add_overlay,
    add_parameters,
    in_profile,
    run_parameters,
    use_overlay,
)
from pipelines.kubectl import Kubectl
from pipelines.kubeflow import Kubeflow
from pipelines.names import PIPELINE
from pipelines.verify import local_runs

POLL_SECONDS = 10
LAST_LINES = 20  # of the stage that failed
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
NODE = "workflows.argoproj.io/node-name"  # arxtune-x7k2p.root(0).scrape(0).executor(1)


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune submit`, `runs` and `logs` to the command line."""
    submit = commands.add_parser("submit", help="start a run of the deployed pipeline, watch it")
    submit.add_argument("--service-account", default="", metavar="NAME")
    submit.add_argument("--no-wait", action="store_true", help="do not watch it")
    submit.add_argument("--report", type=Path, metavar="FILE", help="(default: report-RUN.html)")
    add_overlay(submit)
    add_parameters(submit)
    add_connection(submit)
    submit.set_defaults(command=_submit)

    listed = commands.add_parser("runs", help="list runs, newest first")
    listed.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    listed.add_argument("--last", type=int, default=20, metavar="N", help="(default: 20)")
    add_connection(listed)
    listed.set_defaults(command=_runs)

    logs = commands.add_parser("logs", help="print what the stages of a run and their drivers said")
    logs.add_argument("run", help="its id, as `arxtune runs` lists it")
    logs.add_argument("--stage", default="", choices=STAGES, help="of one stage alone")
    add_connection(logs)
    logs.set_defaults(command=_logs)


def _submit(arguments: argparse.Namespace) -> None:
    use_overlay(arguments)
    from pipelines.package import package
    from pipelines.schedule import ensure_experiment, ensure_pipeline

    parameters = run_parameters(arguments)
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    pipeline, version, _ = ensure_pipeline(kubeflow, package())
    wanted = {
        "display_name": f"{PIPELINE} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
        "experiment_id": ensure_experiment(kubeflow),
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
        "runtime_config": {"parameters": in_profile(parameters, kubeflow)},
        "service_account": arguments.service_account,
    }
    run = kubeflow.ask(kubeflow.runs.run_service_create_run, wanted).run_id
    print(f"run {run}: {kubeflow.host}/#/runs/details/{run}", flush=True)
    if arguments.no_wait:
        return
    failed = watch(kubeflow, run)
    kubectl = Kubectl(arguments.namespace, arguments.context) if shutil.which("kubectl") else None
    if failed is None:
        if kubectl:
            fetch_report(kubectl, run, arguments.report or Path(f"report-{run}.html"))
        return
    if kubectl and failed:
        show_logs(kubectl, run, failed, LAST_LINES)
    raise ClusterError(f"run {run}: failed in {failed or 'no stage'}", f"arxtune logs {run}")


def watch(kubeflow: Kubeflow, run: str, pause: float = POLL_SECONDS) -> str | None:
    """Print each stage's start and end, once; return None for success, else the stage that failed.

    The server reports a task for each node of Argo's graph: drivers, retries, executors too.
    """
    told: set[tuple[str, str]] = set()
    started = time.monotonic()
    while True:
        found = kubeflow.ask(kubeflow.runs.run_service_get_run, run)
        tasks = (found.run_details and found.run_details.task_details) or []
        for task in tasks:
            word = {"RUNNING": "started"}.get(task.state or "", (task.state or "").lower())
            known = task.display_name in STAGES and task.state in ("RUNNING", *ENDED)
            if known and (task.task_id, word) not in told:
                told.add((task.task_id, word))
                say(task.display_name, f"{word}  {time.monotonic() - started:.0f} s")
        if found.state in ENDED:
            break
        time.sleep(pause)
    print(f"run {run}: {found.state.lower()} after {time.monotonic() - started:.0f} s")
    if found.state == "SUCCEEDED":
        return None
    # A stage whose driver failed has no task of its own name.
    names = {
        str(task.display_name).removesuffix("-driver") for task in tasks if task.state == "FAILED"
    }
    return next((stage for stage in STAGES if stage in names), "")


def _runs(arguments: argparse.Namespace) -> None:
    if local := local_runs(arguments.home)[: arguments.last]:
        print("\n".join([f"on this machine, in {arguments.home}:", *local]))
        if not (arguments.host or arguments.context):
            print("on a cluster: name it by --host or --context")
            return
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    newest = {"page_size": arguments.last, "sort_by": "created_at desc"}
    found = kubeflow.ask(kubeflow.runs.run_service_list_runs, **newest, **kubeflow.space)
    for run in found.runs or []:
        state = str(run.state or "pending").lower()
        print(f"{run.run_id}  {state:<10}  {_minutes(run)}  {run.display_name}")
    if not found.runs:
        print("no runs yet")


def _minutes(run: Any) -> str:
    if not (run.created_at and run.finished_at) or run.finished_at < run.created_at:
        return "      "
    return f"{(run.finished_at - run.created_at).total_seconds() / 60:4.0f} m"


def _logs(arguments: argparse.Namespace) -> None:
    kubectl = Kubectl(arguments.namespace, arguments.context)
    if not show_logs(kubectl, arguments.run, arguments.stage):
        raise ConfigError(
            f"run {arguments.run}: no pod of it is left", "the dashboard has its archived logs"
        )


def show_logs(kubectl: Kubectl, run: str, stage: str = "", lines: int = -1) -> int:
    """Print what the pods of a run or stage said, drivers first; return how many there were."""
    number = 0
    for name, pod in _pods(kubectl, run):
        if name and stage in ("", name):
            number += 1
            pod_name = pod["metadata"]["name"]
            kubectl.show("logs", pod_name, "-c", "main", "--prefix", f"--tail={lines}", fine=(0, 1))
    return number


def _pods(kubectl: Kubectl, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pods of a run, oldest first, each with its stage or ""."""
    items = json.loads(kubectl.read("get", "pods", "-l", f"pipeline/runid={run}", "-o", "json"))[
        "items"
    ]
    for pod in sorted(items, key=lambda pod: str(pod["metadata"].get("creationTimestamp"))):
        path = pod["metadata"].get("annotations", {}).get(NODE, "")
        names = [re.sub(r"(-driver)?(\(\d+\))?$", "", part) for part in path.split(".")]
        yield next((name for name in names if name in STAGES), ""), pod


def fetch_report(kubectl: Kubectl, run: str, path: Path) -> None:
    """Write the report of a run, through the dashboard's server, which may read the artifacts."""
    try:
        text = _report(kubectl, run)
    except (ArxtuneError, LookupError):
        print("report: in the dashboard, the HTML artifact of evaluate")
        return
    path.write_text(text, "utf-8")
    print(f"report: {path}")


def _report(kubectl: Kubectl, run: str) -> str:
    specs = ""
    for name, pod in _pods(kubectl, run):
        if name == "evaluate":
            specs += json.dumps(pod["spec"])
    # The launcher is told where each output goes, in JSON within the JSON of its arguments.
    pattern = r"report.{0,40}?artifacts.{0,400}?uri[\\\": ]+(\w+)://([^/]+)/([^\\\"]+)"
    source, bucket, key = re.findall(pattern, specs)[-1]  # of the last try
    where = {"source": source, "bucket": bucket, "key": key, "namespace": kubectl.namespace}
    server = f"/api/v1/namespaces/{kubectl.namespace}/services/ml-pipeline-ui:http/proxy"
    query = urllib.parse.urlencode(where)
    return kubectl.read("get", "--raw", f"{server}/artifacts/get?{query}")
