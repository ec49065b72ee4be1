"""Deploy: manifests, secrets, buckets, pipeline version and schedule, brought to what is wanted; again is no change."""

import argparse
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say
from pipelines import manifests
from pipelines.kubectl import Kubectl
from pipelines.names import PIPELINE, SECRET, STORE_KEYS

ARTIFACTS_SECRET = "mlpipeline-minio-artifact"  # noqa: S105  the name that Kubeflow Pipelines gives it
SECRET_KEYS = (
    "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "GROQ_API_KEY", "HF_TOKEN",
)  # fmt: skip


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune deploy` to the command line."""
    parser = commands.add_parser(
        "deploy", help="bring everything to a cluster; the same again changes nothing"
    )
    add_overlay(parser)
    parser.add_argument(
        "--no-manifests", action="store_true", help="pipeline and schedule alone, without kubectl"
    )
    parser.add_argument(
        "--kfp-manifests", type=Path, metavar="FOLDER", help="a copy of KFP's manifests/kustomize"
    )
    parser.add_argument(
        "--minio-image", default="", metavar="IMAGE", help="from a mirror, or with a digest"
    )
    parser.add_argument(
        "--artifacts",
        default="",
        metavar="URL",
        help="where KFP keeps artifacts: s3://bucket/prefix",
    )
    parser.add_argument(
        "--schedule", default="", metavar="CRON", help='six fields: "0 0 3 * * 1", Mondays at 03:00'
    )
    parser.add_argument(
        "--service-account", default="", metavar="NAME", help="that scheduled runs use"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument(
        "--write-resources", type=Path, metavar="FILE", help="write resources for GitOps instead"
    )
    add_parameters(parser)
    add_connection(parser)
    parser.set_defaults(command=_deploy)


def add_overlay(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is on the cluster, which decides a part of the pipeline too."""
    parser.add_argument(
        "--overlay", choices=manifests.OVERLAYS, default="existing", help="(default: existing)"
    )
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        choices=manifests.COMPONENTS,
        help="switch one on",
    )


def use_overlay(arguments: argparse.Namespace) -> None:
    """Compile for the overlay and components; before `pipelines.placement` is imported, and under the environment."""
    if "kueue" in arguments.component:
        os.environ.setdefault("ARXTUNE_QUEUE", "arxtune")
    if arguments.overlay == "kind":
        os.environ.setdefault("ARXTUNE_GPUS", "0")


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the cluster is."""
    parser.add_argument(
        "--host", default=os.environ.get("KF_PIPELINES_ENDPOINT", ""), help="URL of the KFP API"
    )
    parser.add_argument("--namespace", default="kubeflow", help="(default: kubeflow)")
    parser.add_argument(
        "--context", default="", help="of the kubeconfig (default: its current one)"
    )


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a run is asked for."""
    from components.shared.stage import add_knobs
    from pipelines.profile import parameters

    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings of the runs (default: the overlay's)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.KNOB=VALUE", help="any other setting"
    )
    parser.add_argument(
        "--node-selector", default="{}", metavar="JSON", help="labels of the GPU nodes"
    )
    parser.add_argument(
        "--tolerations", default="[]", metavar="JSON", help="of the GPU nodes' taints"
    )
    add_knobs(parser, parameters())


def run_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the pipeline's parameters: the flags over a config file over the overlay's."""
    from pipelines.profile import make_profile, parameters

    flags = {name: getattr(arguments, name) for name in parameters() if hasattr(arguments, name)}
    config = (
        arguments.config or manifests.MANIFESTS / "overlays" / arguments.overlay / "arxtune.toml"
    )
    profile = make_profile(config, flags, arguments.set, base=None)
    return {
        **profile.parameters,
        "settings": json.dumps(profile.settings, sort_keys=True),
        "node_selector": _json(arguments.node_selector, "--node-selector", dict),
        "tolerations": _json(arguments.tolerations, "--tolerations", list),
    }


def _json(text: str, flag: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{flag} {text!r}: not JSON ({error})") from None
    if not isinstance(value, kind):
        raise ConfigError(f"{flag} {text!r}: must be a JSON {'object' if kind is dict else 'list'}")
    return value


def _deploy(arguments: argparse.Namespace) -> None:
    use_overlay(arguments)
    from pipelines.kubeflow import Kubeflow
    from pipelines.package import package, write_resources
    from pipelines.schedule import Schedule, ensure_pipeline, ensure_schedule, plan

    if arguments.write_resources:
        print(
            f"{arguments.write_resources}: {write_resources(arguments.write_resources, arguments.namespace)}"
        )
        return
    parameters = run_parameters(arguments)
    schedule = None
    if arguments.schedule:
        schedule = Schedule(PIPELINE, arguments.schedule, parameters, arguments.service_account)
    compiled = package()
    changes: list[str] = []

    def tell(lines: Iterable[str]) -> None:
        for line in lines:
            changes.append(line)
            print(line, flush=True)

    if not arguments.no_manifests:
        tell(deploy_manifests(arguments, parameters))
    coming = "deployment ml-pipeline: would be created" in changes
    kubeflow = None if coming else Kubeflow(arguments.host, arguments.namespace, arguments.context)
    if arguments.dry_run or kubeflow is None:
        tell(plan(kubeflow, compiled, schedule))
        if not changes:
            print("nothing would change")
        return
    pipeline, version, done = ensure_pipeline(kubeflow, compiled)
    tell(done)
    if schedule:
        tell(ensure_schedule(kubeflow, schedule, pipeline, version, compiled.version))
    if not changes:
        print("nothing changed")
    print(f"dashboard: {kubeflow.link}/#/pipelines/details/{pipeline}/version/{version}")


def deploy_manifests(arguments: argparse.Namespace, parameters: dict[str, Any]) -> Iterator[str]:
    """Apply the manifests, the secrets that are missing and the buckets; yield what changed, or in a dry run would."""
    kubectl = Kubectl(arguments.namespace, arguments.context, dry_run=arguments.dry_run)
    objects = manifests.render(
        arguments.overlay,
        arguments.component,
        namespace=arguments.namespace,
        kfp_manifests=arguments.kfp_manifests,
        minio_image=arguments.minio_image,
    )
    objects += launcher_config(arguments.artifacts, arguments.namespace)
    bare = arguments.overlay != "existing"
    external = "external-secrets" in arguments.component
    spaces = [found for found in objects if found["kind"] == "Namespace"]
    wide = [
        found for found in objects if "namespace" not in found["metadata"] and found not in spaces
    ]
    yield from kubectl.apply(spaces)
    yield from _if_allowed(
        lambda: ensure_secrets(kubectl, bare=bare, external=external), SECRET, bare
    )
    yield from _if_allowed(
        lambda: kubectl.apply(wide), ", ".join(found["metadata"]["name"] for found in wide), bare
    )
    yield from kubectl.apply(
        [found for found in objects if found not in spaces and found not in wide]
    )
    if not arguments.dry_run:
        kubectl.wait(objects)
        yield from ensure_buckets([parameters.get("store", "s3://arxtune"), arguments.artifacts])


def _if_allowed(change: Callable[[], list[str]], what: str, needed: bool) -> list[str]:
    """Leave alone what the account may not see, unless it must be made: secrets, and what is the whole cluster's."""
    try:
        return change()
    except ClusterError as error:
        if error.status != 403 or needed:
            raise
        say("deploy", f"left alone, for this account may not see it: {what}")
        return []


def ensure_secrets(kubectl: Kubectl, *, bare: bool, external: bool) -> list[str]:
    """Create the Secrets that are missing, from the environment; one that is there is never changed."""
    changes = []
    created = "would be created" if kubectl.dry_run else "created"
    if bare and not kubectl.has_secret(ARTIFACTS_SECRET):
        own = {"accesskey": "arxtune-" + secrets.token_hex(6), "secretkey": secrets.token_hex(20)}
        kubectl.create_secret(ARTIFACTS_SECRET, own)
        changes.append(f"secret {ARTIFACTS_SECRET}: {created}, with credentials of its own")
    if external or kubectl.has_secret(SECRET):
        return changes
    values = {key: os.environ[key] for key in SECRET_KEYS if os.environ.get(key)}
    if bare and "AWS_ACCESS_KEY_ID" not in values:
        own = kubectl.secret_values(ARTIFACTS_SECRET)  # not ours, if another deploy was quicker
        values |= {
            "AWS_ENDPOINT_URL": f"http://seaweedfs.{kubectl.namespace}:9000",
            "AWS_ACCESS_KEY_ID": own.get("accesskey", ""),
            "AWS_SECRET_ACCESS_KEY": own.get("secretkey", ""),
        }
    if not set(STORE_KEYS) <= set(values):
        raise ConfigError(
            f"there is no Secret {SECRET}, and {' and '.join(STORE_KEYS)} are not set",
            "set them for this command, create the Secret, or switch on --component external-secrets",
        )
    kubectl.create_secret(SECRET, values)
    return [*changes, f"secret {SECRET}: {created} with {', '.join(sorted(values))}"]


def launcher_config(artifacts: str, namespace: str) -> Sequence[dict[str, Any]]:
    """Return the ConfigMap by which Kubeflow Pipelines keeps artifacts on another S3; its keys are in the Secret."""
    if not artifacts:
        return []
    if not artifacts.startswith("s3://"):
        raise ConfigError(f"--artifacts {artifacts!r}: not an S3 URL", "write s3://bucket/prefix")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    keys = {"accessKeyKey": "AWS_ACCESS_KEY_ID", "secretKeyKey": "AWS_SECRET_ACCESS_KEY"}
    default: dict[str, Any] = {
        "region": os.environ.get("AWS_REGION") or "us-east-1",
        "credentials": {"fromEnv": False, "secretRef": {"secretName": SECRET, **keys}},
    }
    if endpoint:
        default |= {
            "endpoint": endpoint,
            "disableSSL": endpoint.startswith("http:"),
            "forcePathStyle": True,
        }
    data = {
        "defaultPipelineRoot": artifacts,
        "providers": json.dumps({"s3": {"default": default}}, sort_keys=True),
    }
    metadata = {"name": "kfp-launcher", "namespace": namespace}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}]


def ensure_buckets(urls: Sequence[str]) -> list[str]:
    """Make the buckets that can be reached from here; those inside the cluster are made by its lifecycle Job."""
    if not os.environ.get("AWS_ACCESS_KEY_ID"):
        return []
    from components.shared.buckets import ensure_bucket

    buckets = [url.removeprefix("s3://").split("/")[0] for url in urls if url.startswith("s3://")]
    return [line for bucket in buckets for line in ensure_bucket(bucket)]
