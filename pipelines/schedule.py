"""Pipeline, version and schedule on Kubeflow Pipelines, brought to a wanted state however often this is done.

A recurring run cannot be changed, so a new one is made before the old one goes, and the old one goes without the
workflows that it has started: deleting it any other way kills them.
"""

import argparse
import functools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.records import digest
from pipelines.kubeflow import Kubeflow, named
from pipelines.names import PIPELINE
from pipelines.package import Package


@dataclass(frozen=True)
class Schedule:
    """When the pipeline runs by itself, and what it is asked for."""

    name: str
    cron: str  # six fields, seconds first: "0 0 3 * * 1" is Monday at 03:00 UTC
    parameters: dict[str, Any]
    service_account: str = ""

    def __post_init__(self) -> None:
        if len(self.cron.split()) != 6 and not self.cron.startswith("@"):
            raise ConfigError(
                f"schedule {self.cron!r}: must have six fields", 'seconds come first: "0 0 3 * * 1"'
            )

    def fingerprint(self, version: str) -> str:
        """Return the text that tells two recurring runs of one name apart."""
        what = [self.cron, self.parameters, self.service_account, version]
        return f"{version}, {self.cron} (arxtune {digest(what)[:16]})"


def find_pipeline(kubeflow: Kubeflow) -> Any:
    """Return the pipeline, or None."""
    ask = kubeflow.client._pipelines_api.pipeline_service_list_pipelines
    found = kubeflow.ask("list pipelines", lambda: ask(filter=named(PIPELINE), **kubeflow.space))
    return next(iter(found.pipelines or []), None)


def find_version(kubeflow: Kubeflow, pipeline: str, name: str) -> Any:
    """Return a pipeline's version of a name, or None."""
    ask = kubeflow.client._pipelines_api.pipeline_service_list_pipeline_versions
    versions = kubeflow.pages("versions", "pipeline_versions", lambda **page: ask(pipeline, **page))
    return next((version for version in versions if version.display_name == name), None)


def ensure_pipeline(kubeflow: Kubeflow, package: Package) -> tuple[str, str, list[str]]:
    """Return the ids of pipeline and version, and what had to be created for them."""
    import kfp_server_api as api

    pipelines, upload = kubeflow.client._pipelines_api, kubeflow.client._upload_api
    wanted = api.V2beta1Pipeline(display_name=PIPELINE, **kubeflow.space)
    pipeline, made = kubeflow.ensure(
        f"the pipeline {PIPELINE}",
        lambda: find_pipeline(kubeflow),
        lambda: pipelines.pipeline_service_create_pipeline(wanted),
    )
    changes = [f"pipeline {PIPELINE}: created"] if made else []
    identity = pipeline.pipeline_id
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{PIPELINE}.yaml"
        path.write_text(package.text, "utf-8")
        version, made = kubeflow.ensure(
            f"the version {package.version}",
            lambda: find_version(kubeflow, identity, package.version),
            lambda: upload.upload_pipeline_version(
                str(path), name=package.version, pipelineid=identity
            ),
        )
    changes += [f"version {package.version}: uploaded"] if made else []
    return identity, version.pipeline_version_id, changes


def plan(kubeflow: Kubeflow | None, package: Package, schedule: Schedule | None) -> Iterator[str]:
    """Yield what a deploy would change; without a server, which is still to be installed, that is everything."""
    pipeline = find_pipeline(kubeflow) if kubeflow else None
    if not pipeline:
        yield f"pipeline {PIPELINE}: would be created"
    if not (
        kubeflow and pipeline and find_version(kubeflow, pipeline.pipeline_id, package.version)
    ):
        yield f"version {package.version}: would be uploaded"
    if schedule:
        there = schedules(kubeflow, schedule.name) if kubeflow else []
        wanted = schedule.fingerprint(package.version)
        same = [found for found in there if found.description == wanted]
        if not same:
            yield f"schedule {schedule.name}: would be {schedule.cron} with {package.version}"
        for _ in there[len(same[:1]) :]:
            yield f"schedule {schedule.name}: the one before would be removed; its runs would go on"


def ensure_experiment(kubeflow: Kubeflow) -> str:
    """Return the id of the experiment that all runs are kept in."""
    import kfp_server_api as api

    experiments = kubeflow.client._experiment_api

    def find() -> Any:
        found = kubeflow.ask(
            "list experiments",
            lambda: experiments.experiment_service_list_experiments(
                filter=named(PIPELINE), **kubeflow.space
            ),
        )
        return next(iter(found.experiments or []), None)

    wanted = api.V2beta1Experiment(display_name=PIPELINE, **kubeflow.space)
    experiment, _ = kubeflow.ensure(
        "the experiment", find, lambda: experiments.experiment_service_create_experiment(wanted)
    )
    return str(experiment.experiment_id)


def schedules(kubeflow: Kubeflow, name: str = "") -> list[Any]:
    """Return the recurring runs of a name, or all of them."""
    list_runs = kubeflow.client._recurring_run_api.recurring_run_service_list_recurring_runs
    more = {**({"filter": named(name)} if name else {}), **kubeflow.space}
    return list(
        kubeflow.pages("schedules", "recurring_runs", lambda **page: list_runs(**page, **more))
    )


def ensure_schedule(
    kubeflow: Kubeflow, schedule: Schedule, pipeline: str, version: str, version_name: str
) -> list[str]:
    """Make the schedule be the wanted one, and the only one of its name; return what changed."""
    experiment = ensure_experiment(kubeflow)
    wanted = schedule.fingerprint(version_name)

    def find() -> Any:
        same = [
            found for found in schedules(kubeflow, schedule.name) if found.description == wanted
        ]
        return min(same, key=lambda found: str(found.recurring_run_id), default=None)

    def create() -> Any:
        return kubeflow.client.create_recurring_run(
            experiment_id=experiment,
            job_name=schedule.name,
            description=wanted,
            cron_expression=schedule.cron,
            max_concurrency=1,
            no_catchup=True,
            params=schedule.parameters,
            pipeline_id=pipeline,
            version_id=version,
            service_account=schedule.service_account or None,
        )

    kept, made = kubeflow.ensure(f"the schedule {schedule.name}", find, create)
    changes = [f"schedule {schedule.name}: {schedule.cron} with {version_name}"] if made else []
    for old in schedules(kubeflow, schedule.name):
        if old.recurring_run_id != kept.recurring_run_id:
            remove(kubeflow, old.recurring_run_id)
            changes.append(f"schedule {schedule.name}: removed the one before; its runs go on")
    return changes


def remove(kubeflow: Kubeflow, identity: str) -> None:
    """Remove a recurring run and leave alone the workflows that it has started."""
    recurring = kubeflow.client._recurring_run_api
    for what, call in (
        (
            "pause the schedule",
            lambda: recurring.recurring_run_service_disable_recurring_run(identity),
        ),
        (
            "remove the schedule",
            lambda: recurring.recurring_run_service_delete_recurring_run(
                identity, propagation_policy="ORPHAN"
            ),
        ),
    ):
        try:
            kubeflow.ask(what, call)
        except ClusterError as error:
            if (
                error.http_status != 404
            ):  # gone already: by a try whose answer was lost, or another deploy
                raise


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune schedule` to the command line; `arxtune deploy --schedule` makes and changes one."""
    from pipelines.deploy import add_connection

    parser = commands.add_parser(
        "schedule", help="list, pause, resume or remove what runs by itself"
    )
    parser.add_argument("action", choices=("list", "pause", "resume", "remove"))
    parser.add_argument(
        "name", nargs="?", default=PIPELINE, help=f"of the schedule (default: {PIPELINE})"
    )
    add_connection(parser)
    parser.set_defaults(command=_schedule)


def _schedule(arguments: argparse.Namespace) -> None:
    kubeflow = Kubeflow(arguments.host, arguments.namespace, arguments.context)
    if arguments.action == "list":
        for found in schedules(kubeflow):
            print(f"{found.display_name}  {str(found.status).lower()}  {found.description or ''}")
        return
    recurring = kubeflow.client._recurring_run_api
    said, change = {
        "pause": ("paused", recurring.recurring_run_service_disable_recurring_run),
        "resume": ("resumed", recurring.recurring_run_service_enable_recurring_run),
        "remove": ("removed", functools.partial(remove, kubeflow)),
    }[arguments.action]
    found = schedules(kubeflow, arguments.name)
    if not found:
        raise ConfigError(f"there is no schedule {arguments.name!r}", "arxtune schedule list")
    for one in found:
        kubeflow.ask(
            f"{arguments.action} the schedule", functools.partial(change, str(one.recurring_run_id))
        )
        print(f"schedule {arguments.name}: {said}")
