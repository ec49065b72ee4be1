"""Pipeline, version and schedule on Kubeflow Pipelines; the same again changes nothing.

A recurring run cannot be changed: a new one is made before the old one goes. The old one is deleted
with the policy ORPHAN, as any other would kill the runs that it has started.
"""

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.records import digest
from pipelines.kubeflow import Answer, Kubeflow, named
from pipelines.names import PIPELINE
from pipelines.package import Package

SHORTHAND = r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \d+[hm](\d+m)?)"
NAMES = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT"
PART = re.compile(rf"(\*|\?|(\d+|{NAMES})(-(\d+|{NAMES}))?)(/[1-9]\d*)?", re.ASCII | re.IGNORECASE)
FIELDS = {  # lowest and highest number of each
    "second": (0, 59), "minute": (0, 59), "hour": (0, 23),
    "day of the month": (1, 31), "month": (1, 12), "day of the week": (0, 6),
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """When the pipeline runs by itself, and what it is asked for."""

    name: str
    cron: str  # six fields, seconds first, in UTC: "0 0 3 * * 1" is Monday at 03:00
    parameters: dict[str, Any]
    service_account: str = ""

    def __post_init__(self) -> None:
        check_cron(self.cron)

    def fingerprint(self, version: str, server: str) -> str:
        """Return the text that tells two recurring runs of one name apart.

        The server's version is in it: a recurring run keeps driver and launcher of its server.
        """
        what = [self.cron, self.parameters, self.service_account, version, server]
        return f"{version}, {self.cron} (arxtune {digest(what)[:16]})"


def check_cron(cron: str) -> None:
    """Refuse what Kubeflow's scheduler would refuse, or would read in another way than it looks."""
    problem, fields = f"--schedule {cron!r}", cron.split()
    if re.match(r"\s*(CRON_)?TZ=", cron):
        fix = 'give the time in UTC: 03:00 in Berlin is "0 0 2 * * 1", in summer "0 0 1 * * 1"'
        raise ConfigError(f"{problem}: names a time zone, and schedules are in UTC", fix)
    if re.fullmatch(SHORTHAND, cron):
        return
    if len(fields) != len(FIELDS):
        example = "0 " + " ".join(fields) if len(fields) == 5 else "0 0 3 * * 1"
        raise ConfigError(f"{problem}: must have six fields", f'seconds come first: "{example}"')
    if not fields[0].isdecimal():
        raise ConfigError(f"{problem}: would start many runs a minute", "name one second: 0")
    for text, (what, (low, high)) in zip(fields, FIELDS.items(), strict=True):
        numbers = [int(number) for number in re.findall(r"(?<![/\d])\d+", text)]
        in_range = all(low <= number <= high for number in numbers)
        if not (in_range and all(PART.fullmatch(part) for part in text.split(","))):
            raise ConfigError(f"{problem}: {text!r} is no {what}", f"it goes from {low} to {high}")


def find_pipeline(kubeflow: Kubeflow) -> Answer:
    """Return the pipeline, or None."""
    call = kubeflow.pipelines.pipeline_service_list_pipelines
    return next(kubeflow.all("pipelines", call, filter=named(PIPELINE), **kubeflow.space), None)


def find_version(kubeflow: Kubeflow, pipeline: str, name: str) -> Answer:
    """Return a pipeline's version of a name, or None."""
    call = kubeflow.pipelines.pipeline_service_list_pipeline_versions
    return next(kubeflow.all("pipeline_versions", call, pipeline, filter=named(name)), None)


def ensure_pipeline(kubeflow: Kubeflow, package: Package) -> tuple[str, str, list[str]]:
    """Return the ids of pipeline and version, and what had to be created for them."""
    changes = []
    pipeline = find_pipeline(kubeflow)
    if pipeline is None:
        create = kubeflow.pipelines.pipeline_service_create_pipeline
        pipeline = kubeflow.ask(create, {"display_name": PIPELINE, **kubeflow.space})
        changes.append(f"pipeline {PIPELINE}: created")
    identity, name = str(pipeline.pipeline_id), package.version
    version = find_version(kubeflow, identity, name)
    if version is None:
        upload = kubeflow.uploads.upload_pipeline_version
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{PIPELINE}.yaml"
            path.write_text(package.text, "utf-8")
            version = kubeflow.ask(upload, str(path), name=name, pipelineid=identity)
        changes.append(f"version {name}: uploaded")
    return identity, str(version.pipeline_version_id), changes


def ensure_experiment(kubeflow: Kubeflow) -> str:
    """Return the id of the experiment that all runs are kept in."""
    find = kubeflow.experiments.experiment_service_list_experiments
    there = kubeflow.all("experiments", find, filter=named(PIPELINE), **kubeflow.space)
    create = kubeflow.experiments.experiment_service_create_experiment
    wanted = {"display_name": PIPELINE, **kubeflow.space}
    return str((next(there, None) or kubeflow.ask(create, wanted)).experiment_id)


def schedules(kubeflow: Kubeflow, name: str) -> list[Answer]:
    """Return the recurring runs of a name, or with an empty one all of them."""
    more = {"filter": named(name)} if name else {}
    call = kubeflow.schedules.recurring_run_service_list_recurring_runs
    return list(kubeflow.all("recurring_runs", call, **more, **kubeflow.space))


def ensure_schedule(
    kubeflow: Kubeflow, schedule: Schedule, pipeline: str, version: str, version_name: str
) -> list[str]:
    """Make the schedule be the wanted one, and the only one of its name; return what changed."""
    wanted = schedule.fingerprint(version_name, kubeflow.version)
    there = schedules(kubeflow, schedule.name)
    # Two alike are left by deploys that ran at once.
    kept = next((found for found in there if found.description == wanted), None)
    changes = []
    if kept is None:
        reference = {"pipeline_id": pipeline, "pipeline_version_id": version}
        recurring = {
            "display_name": schedule.name,
            "description": wanted,
            "experiment_id": ensure_experiment(kubeflow),
            "pipeline_version_reference": reference,
            "runtime_config": {"parameters": schedule.parameters},
            "service_account": schedule.service_account,
            "trigger": {"cron_schedule": {"cron": schedule.cron}},
            "max_concurrency": "1",
            "no_catchup": True,
            "mode": "ENABLE",
            **kubeflow.space,
        }
        kubeflow.ask(kubeflow.schedules.recurring_run_service_create_recurring_run, recurring)
        changes.append(f"schedule {schedule.name}: {schedule.cron} with {version_name}")
    for old in there:
        if old is not kept:
            remove(kubeflow, old.recurring_run_id)
            changes.append(f"schedule {schedule.name}: removed the one before; its runs go on")
    return changes


def plan(kubeflow: Kubeflow, package: Package, schedule: Schedule | None) -> list[str]:
    """Return what a deploy would change."""
    lines = []
    pipeline = find_pipeline(kubeflow)
    if pipeline is None or not find_version(kubeflow, pipeline.pipeline_id, package.version):
        lines.append(f"version {package.version}: would be uploaded")
    if schedule:
        there = [found.description for found in schedules(kubeflow, schedule.name)]
        if there != [schedule.fingerprint(package.version, kubeflow.version)]:
            what = f"{schedule.cron} with {package.version}"
            lines.append(f"schedule {schedule.name}: would be {what}")
    return lines


def remove(kubeflow: Kubeflow, identity: str) -> None:
    """Remove a recurring run and leave alone the runs that it has started."""
    api = kubeflow.schedules
    delete = api.recurring_run_service_delete_recurring_run
    try:
        kubeflow.ask(api.recurring_run_service_disable_recurring_run, identity)
        kubeflow.ask(delete, identity, propagation_policy="ORPHAN")
    except ClusterError as error:
        if error.http_status != 404:  # gone: by a try whose answer was lost, or by another deploy
            raise


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune schedule` to the command line; `arxtune deploy --schedule` makes one."""
    from pipelines.deploy import add_connection

    parser = commands.add_parser("schedule", help="manage recurring runs")
    parser.add_argument("action", choices=("list", "pause", "resume", "remove"))
    parser.add_argument("name", nargs="?", default=PIPELINE, help=f"(default: {PIPELINE})")
    add_connection(parser)
    parser.set_defaults(command=_schedule)


def _schedule(arguments: argparse.Namespace) -> None:
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    if arguments.action == "list":
        for one in schedules(kubeflow, ""):
            print(f"{one.display_name}  {str(one.status).lower()}  {one.description or ''}")
        return
    found = schedules(kubeflow, arguments.name)
    if not found:
        raise ConfigError(f"there is no schedule {arguments.name!r}", "arxtune schedule list")
    api = kubeflow.schedules
    for one in found:
        if arguments.action == "remove":
            remove(kubeflow, one.recurring_run_id)
        elif arguments.action == "pause":
            kubeflow.ask(api.recurring_run_service_disable_recurring_run, one.recurring_run_id)
        else:
            kubeflow.ask(api.recurring_run_service_enable_recurring_run, one.recurring_run_id)
        print(f"schedule {arguments.name}: {arguments.action.removesuffix('e')}ed")
