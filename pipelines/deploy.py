"""Deploy: manifests by kubectl, then the pipeline's version and its schedule.

The same command again changes nothing. A recurring run cannot be changed: a new one is made before
the old one goes.
"""

import argparse
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from components.shared import images
from components.shared.errors import ClusterError, ConfigError
from components.shared.records import digest
from components.shared.stage import add_knobs
from pipelines import check, manifests
from pipelines.kubeflow import Kubeflow, add_connection
from pipelines.names import KUBEFLOW_BUCKET, PIPELINE, STORE
from pipelines.profile import EMBEDDED, make_profile, parameters


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune deploy` to the command line."""
    parser = commands.add_parser("deploy", help="deploy to a cluster (idempotent)")
    add = parser.add_argument
    add("--no-manifests", action="store_true", help="pipeline and schedule alone, without kubectl")
    add("--schedule", default="", metavar="CRON", help='six fields, UTC: "0 0 3 * * 1", Mondays')
    add("--dry-run", action="store_true", help="show what would change, and change nothing")
    add_parameters(parser)
    parser.set_defaults(command=_deploy)


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is on the cluster, where it is and what a run is asked for."""
    add, known = parser.add_argument, manifests.COMPONENTS
    add("--overlay", choices=manifests.OVERLAYS, default="existing", help="(default: existing)")
    add("--component", action="append", default=[], choices=known, help="switch one on")
    add("--service-account", default="", metavar="NAME", help="of the runs")
    add("--config", type=Path, metavar="FILE", help="settings of the runs (default: the overlay's)")
    add("--set", action="append", default=[], metavar="STAGE.KNOB=VALUE", help="any other setting")
    add("--node-selector", default="{}", metavar="JSON", help="labels of the GPU nodes")
    add("--tolerations", default="[]", metavar="JSON", help="of the GPU nodes' taints")
    add_knobs(parser, parameters())
    add_connection(parser)


def run_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the pipeline's parameters: the flags over a config file over the overlay's.

    The checks of `arxtune run` that can be made from here are made; stages make theirs again.
    """
    flags = {name: getattr(arguments, name) for name in parameters() if hasattr(arguments, name)}
    overlay = manifests.MANIFESTS / "overlays" / arguments.overlay / "arxtune.toml"
    implied = tomllib.loads(overlay.read_text("utf-8"))["pipeline"]
    base = EMBEDDED if arguments.overlay == "kind" else None  # for the small model's recipe
    profile = make_profile(arguments.config, flags, arguments.set, base, implied)
    asked = check.Asked(profile, Path(), None, None)
    check.push(asked)
    if os.environ.get("GROQ_API_KEY") or asked.profile.config("generate").teacher == "embedded":
        check.teacher(asked)
    if os.environ.get("HF_TOKEN"):
        check.base(asked)
    return {
        **profile.parameters,
        "settings": json.dumps(profile.settings, sort_keys=True),
        "node_selector": _json(arguments.node_selector, "--node-selector", {}),
        "tolerations": _json(arguments.tolerations, "--tolerations", []),
    }


def _json(text: str, flag: str, like: object) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, type(like)):
        raise ConfigError(f"{flag} {text!r}: must be JSON such as {like}")
    return value


def package(arguments: argparse.Namespace) -> tuple[str, str]:
    """Compile the pipeline for what is on the cluster; return the version's name, and its YAML.

    The name is of the content, and the images' tags in it are: changed code is another version.
    """
    if "kueue" in arguments.component:
        os.environ.setdefault("ARXTUNE_QUEUE", "arxtune")
    if arguments.overlay == "kind":
        os.environ.setdefault("ARXTUNE_GPUS", "0")
    images.warn_without_registry()
    from kfp import compiler

    from pipelines.arxtune import arxtune  # reads the environment

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "arxtune.yaml"
        compiler.Compiler().compile(arxtune, str(path))
        compiled = path.read_text("utf-8")
    return f"{PIPELINE}-{digest(compiled)[:12]}", compiled


def check_cron(cron: str) -> None:
    """Refuse what Kubeflow's scheduler would read in another way than it looks."""
    if not re.fullmatch(r"@\w+( \w+)?|\d+( \S+){5}", cron):
        problem = f"--schedule {cron!r}: must have six fields in UTC, the second first"
        raise ConfigError(problem, '"0 0 3 * * 1" is Mondays, 03:00')


def _deploy(arguments: argparse.Namespace) -> None:
    if arguments.schedule:
        check_cron(arguments.schedule)
    parameters = run_parameters(arguments)
    version, compiled = package(arguments)
    bare = arguments.overlay != "existing" and not arguments.no_manifests
    kubeflow = None if bare else Kubeflow(arguments)  # too old a server is refused first
    if not arguments.no_manifests and not manifests.apply(arguments, parameters["store"]):
        return
    kubeflow = kubeflow or Kubeflow(arguments)
    kubeflow.dry_run = arguments.dry_run
    run = run_of(kubeflow, version, compiled, parameters, arguments.service_account)
    if arguments.schedule:
        ensure_schedule(kubeflow, arguments.schedule, run, version)
    if not kubeflow.changed:
        print("pipeline and schedule: nothing to change")
    print(f"dashboard: {kubeflow.host}/#/pipelines")


def run_of(
    kubeflow: Kubeflow, name: str, compiled: str, asked: dict[str, Any], account: str
) -> dict[str, Any]:
    """Return what a run or schedule is made of, once there is a version of this name and YAML."""
    made = {"display_name": PIPELINE, **kubeflow.space}
    found = kubeflow.find("pipelines", PIPELINE)
    found = found or [kubeflow.change(f"create pipeline {PIPELINE}", "create_pipeline", made)]
    pipeline = found[0] and found[0].pipeline_id  # there is none in a dry run
    versions = pipeline and kubeflow.find("pipeline_versions", name, pipeline)
    if not versions:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{PIPELINE}.yaml"
            path.write_text(compiled, "utf-8")
            what, upload = f"upload version {name}", ("upload_pipeline_version", str(path))
            versions = [kubeflow.change(what, *upload, name=name, pipelineid=pipeline)]
    version = versions[0] and versions[0].pipeline_version_id
    if kubeflow.multi_user and asked["store"] == STORE:  # where a profile may write
        space = kubeflow.space["namespace"]
        asked = {**asked, "store": f"{KUBEFLOW_BUCKET}/private/{space}/arxtune"}
    return {
        "pipeline_version_reference": {"pipeline_id": pipeline, "pipeline_version_id": version},
        "runtime_config": {"parameters": asked},
        "service_account": account,
    }


def ensure_experiment(kubeflow: Kubeflow) -> str:
    """Return the id of the experiment that all runs are kept in."""
    there = kubeflow.find("experiments", PIPELINE)
    wanted = {"display_name": PIPELINE, **kubeflow.space}
    return str((there or [kubeflow.ask("create_experiment", wanted)])[0].experiment_id)


def ensure_schedule(kubeflow: Kubeflow, cron: str, run: dict[str, Any], version: str) -> None:
    """Make the schedule be the wanted one, and the only one.

    The server's version is in its text: a recurring run keeps driver and launcher of its server.
    """
    asked = [run["runtime_config"], run["service_account"], kubeflow.version]
    wanted = f"{version}, {cron} (arxtune {digest(asked)[:16]})"
    there = kubeflow.find("recurring_runs", PIPELINE)
    # Two alike are left by deploys that ran at once.
    kept = next((found for found in there if found.description == wanted), None)
    if kept is None:
        recurring = {
            **run,
            "display_name": PIPELINE,
            "description": wanted,
            "experiment_id": kubeflow.dry_run or ensure_experiment(kubeflow),
            "trigger": {"cron_schedule": {"cron": cron}},
            "max_concurrency": "1",
            "no_catchup": True,
            "mode": "ENABLE",
            **kubeflow.space,
        }
        kubeflow.change(f"schedule {version} at {cron}", "create_recurring_run", recurring)
    for old in there:
        if old is not kept:
            remove(kubeflow, old.recurring_run_id)


def remove(kubeflow: Kubeflow, identity: str) -> None:
    """Remove a recurring run; without the policy ORPHAN its runs would be killed too."""
    try:
        what, orphan = "remove a schedule; its runs go on", {"propagation_policy": "ORPHAN"}
        kubeflow.change(what, "delete_recurring_run", identity, **orphan)
    except ClusterError as error:
        if error.http_status != 404:  # gone: by a try whose answer was lost, or by another deploy
            raise
