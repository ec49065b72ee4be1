"""Runs on a cluster: submit one and watch it, list them, read their logs."""

import argparse
import time
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say
from pipelines.deploy import (
    add_connection,
    add_overlay,
    add_parameters,
    run_parameters,
    use_overlay,
)
from pipelines.kubectl import Kubectl
from pipelines.kubeflow import Kubeflow
from pipelines.names import PIPELINE

LOOK_SECONDS = 10
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune submit`, `runs` and `logs` to the command line."""
    submit = commands.add_parser(
        "submit", help="start a run of the deployed pipeline, and watch it"
    )
    submit.add_argument("--service-account", default="", metavar="NAME")
    submit.add_argument("--no-wait", action="store_true", help="do not watch it")
    add_overlay(submit)
    add_parameters(submit)
    add_connection(submit)
    submit.set_defaults(command=_submit)

    listed = commands.add_parser("runs", help="list runs, newest first")
    listed.add_argument("--last", type=int, default=20, metavar="N", help="(default: 20)")
    add_connection(listed)
    listed.set_defaults(command=_runs)

    logs = commands.add_parser("logs", help="print what the stages of a run said")
    logs.add_argument("run", help="its id, as `arxtune runs` lists it")
    logs.add_argument("--stage", default="", help="of one stage alone")
    add_connection(logs)
    logs.set_defaults(command=_logs)


def _submit(arguments: argparse.Namespace) -> None:
    use_overlay(arguments)
    from pipelines.package import package
    from pipelines.schedule import ensure_experiment, ensure_pipeline

    parameters = run_parameters(arguments)
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    compiled = package()
    pipeline, version, _ = ensure_pipeline(kubeflow, compiled)
    run = kubeflow.ask(
        "start a run",
        lambda: kubeflow.client.run_pipeline(
            ensure_experiment(kubeflow),
            f"{PIPELINE} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
            params=parameters,
            pipeline_id=pipeline,
            version_id=version,
            service_account=arguments.service_account or None,
        ),
    )
    print(f"run {run.run_id}: {kubeflow.link}/#/runs/details/{run.run_id}", flush=True)
    if not arguments.no_wait:
        watch(kubeflow, run.run_id)


def watch(kubeflow: Kubeflow, identity: str, pause: float = LOOK_SECONDS) -> None:
    """Print each change of a run's tasks until it has ended; raise ClusterError unless it succeeded."""
    seen: dict[str, str] = {}
    started = time.monotonic()
    while True:
        run = kubeflow.ask("look at the run", lambda: kubeflow.client.get_run(identity))
        for task in (run.run_details and run.run_details.task_details) or []:
            if task.display_name and task.state and seen.get(task.display_name) != task.state:
                seen[task.display_name] = task.state
                say(task.display_name, f"{task.state.lower()}  {time.monotonic() - started:.0f} s")
        if run.state in ENDED:
            break
        time.sleep(pause)
    print(f"run {identity}: {run.state.lower()} after {time.monotonic() - started:.0f} s")
    if run.state != "SUCCEEDED":
        failed = [name for name, state in seen.items() if state == "FAILED"]
        raise ClusterError(
            f"run {identity}: {run.state.lower()} in {', '.join(failed) or 'no task'}",
            f"arxtune logs {identity}",
        )


def _runs(arguments: argparse.Namespace) -> None:
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    found = kubeflow.ask(
        "list runs",
        lambda: kubeflow.client.list_runs(
            page_size=arguments.last, sort_by="created_at desc", **kubeflow.space
        ),
    )
    for run in found.runs or []:
        print(
            f"{run.run_id}  {str(run.state or 'pending').lower():<10}  {_minutes(run)}  {run.display_name}"
        )
    if not found.runs:
        print("no runs yet")


def _minutes(run: Any) -> str:
    if not (run.created_at and run.finished_at) or run.finished_at < run.created_at:
        return "      "
    return f"{(run.finished_at - run.created_at).total_seconds() / 60:4.0f} m"


def _logs(arguments: argparse.Namespace) -> None:
    kubectl = Kubectl(arguments.namespace, arguments.context)
    labels = [f"pipeline/runid={arguments.run}", "app.kubernetes.io/part-of=arxtune"]
    labels += [f"app.kubernetes.io/component={arguments.stage}"] if arguments.stage else []
    flags = ["-c", "main", "--tail=-1", "--prefix", "--ignore-errors"]
    text = kubectl.run("logs", "-n", arguments.namespace, "-l", ",".join(labels), *flags)
    if not text.strip():
        raise ConfigError(
            f"run {arguments.run}: no pod of it is left", "the dashboard has its archived logs"
        )
    print(text, end="")
