"""Deploy: manifests by kubectl in its own words, missing secrets, then version and schedule."""

import argparse
import base64
import json
import os
import secrets
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import yaml

from components.shared.errors import ClusterError, ConfigError
from components.shared.progress import say
from components.shared.stage import add_knobs
from pipelines import manifests
from pipelines.kubectl import Kubectl
from pipelines.kubeflow import Kubeflow
from pipelines.names import (
    KUBEFLOW_BUCKET,
    OPTIONAL_STORE_KEYS,
    PIPELINE,
    SECRET,
    STORE,
    STORE_KEYS,
)
from pipelines.profile import EMBEDDED, Profile, make_profile, parameters

Object = dict[str, Any]
ARTIFACTS_SECRET = "mlpipeline-minio-artifact"  # noqa: S105  Kubeflow's name for it
OTHER_KEYS = ("GROQ_API_KEY", "ARXTUNE_TEACHER_KEY", "HF_TOKEN")
SERVER_SIDE = ("--server-side", "--field-manager=arxtune", "--force-conflicts")
UP_SECONDS = 600


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune deploy` to the command line."""
    parser = commands.add_parser("deploy", help="deploy to a cluster (idempotent)")
    add_overlay(parser)
    add = parser.add_argument
    add("--no-manifests", action="store_true", help="pipeline and schedule alone, without kubectl")
    add("--kfp-manifests", type=Path, metavar="FOLDER", help="a copy of KFP's manifests/kustomize")
    add("--minio-image", default="", metavar="IMAGE", help="from a mirror, or with a digest")
    add("--artifacts", default="", metavar="URL", help="where KFP keeps artifacts: s3://...")
    add("--schedule", default="", metavar="CRON", help='six fields, UTC: "0 0 3 * * 1", Mondays')
    add("--service-account", default="", metavar="NAME", help="that scheduled runs use")
    add("--dry-run", action="store_true", help="show what would change, and change nothing")
    add("--write-resources", type=Path, metavar="FILE", help="write GitOps resources instead")
    add_parameters(parser)
    add_connection(parser)
    parser.set_defaults(command=_deploy)


def add_overlay(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is on the cluster, which decides a part of the pipeline too."""
    add = parser.add_argument
    add("--overlay", choices=manifests.OVERLAYS, default="existing", help="(default: existing)")
    known = manifests.COMPONENTS
    add("--component", action="append", default=[], choices=known, help="switch one on")


def use_overlay(arguments: argparse.Namespace) -> None:
    """Compile for the overlay and components; before `pipelines.placement` is imported."""
    if "kueue" in arguments.component:
        os.environ.setdefault("ARXTUNE_QUEUE", "arxtune")
    if arguments.overlay == "kind":
        os.environ.setdefault("ARXTUNE_GPUS", "0")


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the cluster is."""
    host = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    parser.add_argument("--host", default=host, help="URL of the KFP API")
    parser.add_argument("--namespace", default="kubeflow", help="(default: kubeflow)")
    parser.add_argument("--context", default="", help="of the kubeconfig (default: current)")


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a run is asked for."""
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="settings of the runs (default: the overlay's)")
    add("--set", action="append", default=[], metavar="STAGE.KNOB=VALUE", help="any other setting")
    add("--node-selector", default="{}", metavar="JSON", help="labels of the GPU nodes")
    add("--tolerations", default="[]", metavar="JSON", help="of the GPU nodes' taints")
    add_knobs(parser, parameters())


def run_parameters(arguments: argparse.Namespace) -> Object:
    """Return the pipeline's parameters: the flags over a config file over the overlay's."""
    flags = {name: getattr(arguments, name) for name in parameters() if hasattr(arguments, name)}
    overlay = manifests.MANIFESTS / "overlays" / arguments.overlay / "arxtune.toml"
    profile = make_profile(
        arguments.config,
        flags,
        arguments.set,
        base=EMBEDDED if arguments.overlay == "kind" else None,  # for the small model's recipe
        implied=tomllib.loads(overlay.read_text("utf-8"))["pipeline"],
    )
    check_run(profile)
    return {
        **profile.parameters,
        "settings": json.dumps(profile.settings, sort_keys=True),
        "node_selector": _json(arguments.node_selector, "--node-selector", dict),
        "tolerations": _json(arguments.tolerations, "--tolerations", list),
    }


def check_run(profile: Profile) -> None:
    """Make the checks of `arxtune run` that can be made from here; stages make theirs again."""
    from pipelines import check

    asked = check.Asked(profile, Path(), None, None)
    if os.environ.get("GROQ_API_KEY") or asked.config("generate").teacher == "embedded":
        check.teacher(asked)
    if os.environ.get("HF_TOKEN"):
        check.base(asked)


def in_profile(parameters: Object, kubeflow: Kubeflow) -> Object:
    """Put the store where a profile of a multi-user Kubeflow may write and nothing expires."""
    if kubeflow.multi_user and parameters["store"] == STORE:
        space = kubeflow.space["namespace"]
        return parameters | {"store": f"{KUBEFLOW_BUCKET}/private/{space}/arxtune"}
    return parameters


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
    from pipelines.package import package, write_resources
    from pipelines.schedule import Schedule, check_cron, ensure_pipeline, ensure_schedule, plan

    if arguments.write_resources:
        version = write_resources(arguments.write_resources, arguments.namespace)
        print(f"{arguments.write_resources}: {version}")
        return
    if arguments.schedule:
        check_cron(arguments.schedule)
    parameters = run_parameters(arguments)
    compiled = package()
    bare = arguments.overlay != "existing" and not arguments.no_manifests
    where = (arguments.host, arguments.namespace, arguments.context)
    kubeflow = None if bare else Kubeflow(*where)  # too old a server is refused before any change
    if not arguments.no_manifests:
        with tempfile.TemporaryDirectory(prefix="arxtune-manifests-") as folder:
            there = deploy_manifests(arguments, parameters["store"], Path(folder))
        if not there:
            print(f"version {compiled.version}: would be uploaded")
            return
    kubeflow = kubeflow or Kubeflow(*where)
    schedule = None
    if arguments.schedule:
        asked = in_profile(parameters, kubeflow)
        schedule = Schedule(PIPELINE, arguments.schedule, asked, arguments.service_account)
    if arguments.dry_run:
        print(*(plan(kubeflow, compiled, schedule) or ["nothing would change"]), sep="\n")
        return
    pipeline, version, changes = ensure_pipeline(kubeflow, compiled)
    if schedule:
        changes += ensure_schedule(kubeflow, schedule, pipeline, version, compiled.version)
    print(*(changes or ["pipeline and schedule: nothing changed"]), sep="\n")
    print(f"dashboard: {kubeflow.host}/#/pipelines/details/{pipeline}/version/{version}")


def deploy_manifests(arguments: argparse.Namespace, store: str, folder: Path) -> bool:
    """Apply manifests and missing secrets, or show the difference; tell whether all is there."""
    kubectl = Kubectl(arguments.namespace, arguments.context)
    bucket = "" if store.startswith(KUBEFLOW_BUCKET + "/") else _bucket(store)
    manifests.prepare(
        folder,
        arguments.overlay,
        arguments.component,
        namespace=arguments.namespace,
        bucket=bucket,
        api_server=api_server_rules(kubectl),
        kfp_manifests=arguments.kfp_manifests,
        minio_image=arguments.minio_image,
    )
    bare = arguments.overlay != "existing"
    if arguments.artifacts:
        _add_launcher_config(folder, arguments.artifacts, bare)
    if arguments.dry_run:
        if bare and not _there(kubectl, "namespace", arguments.namespace):
            print(f"namespace {arguments.namespace}: not there; all of it would be created")
            return False
        kubectl.show("diff", *SERVER_SIDE, "-k", str(folder), fine=(0, 1))
        return True
    if bare:  # what the rest is made of must be there first
        kubectl.show("apply", *SERVER_SIDE, "-k", str(folder / "manifests/upstream/crds"))
        established = ("--for=condition=established", "--timeout=60s")
        kubectl.show("wait", *established, "crd", "--all")
    ensure_secrets(kubectl, store, bare=bare, external="external-secrets" in arguments.component)
    kubectl.show("apply", *SERVER_SIDE, "-k", str(folder))
    if bare:
        available = ("--for=condition=Available", f"--timeout={UP_SECONDS}s")
        kubectl.show("wait", *available, "deployment", "--all")
    return True


def ensure_secrets(kubectl: Kubectl, store: str, *, bare: bool, external: bool) -> None:
    """Create missing Secrets from the environment; one that is there is never changed."""
    if not kubectl.may("create", "secrets"):
        say("deploy", f"skipped (forbidden for this account): the Secret {SECRET}")
        return
    if bare and not _there(kubectl, "secret", ARTIFACTS_SECRET):
        own = {"accesskey": "arxtune-" + secrets.token_hex(6), "secretkey": secrets.token_hex(20)}
        _create_secret(kubectl, ARTIFACTS_SECRET, own)
    if external or _there(kubectl, "secret", SECRET):
        return
    values: dict[str, str] = {}
    for key in (*STORE_KEYS, *OPTIONAL_STORE_KEYS):
        value = os.environ.get(key) or os.environ.get(key.replace("ARXTUNE_S3_", "AWS_"))
        if value:
            values[key] = value
    if set(STORE_KEYS) <= set(values) and store.startswith(KUBEFLOW_BUCKET + "/"):
        raise ConfigError(
            f"the environment names the keys of an S3, and --store {store} is in Kubeflow's own",
            "name your bucket by --store s3://BUCKET/PREFIX, or unset the keys for this command",
        )
    if not set(STORE_KEYS) <= set(values) and _there(kubectl, "secret", ARTIFACTS_SECRET):
        text = kubectl.read("get", "secret", ARTIFACTS_SECRET, "-o", "json")
        kubeflows = {
            key: base64.b64decode(value).decode() for key, value in json.loads(text)["data"].items()
        }
        values = {
            "ARXTUNE_S3_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
            "ARXTUNE_S3_ACCESS_KEY_ID": kubeflows["accesskey"],
            "ARXTUNE_S3_SECRET_ACCESS_KEY": kubeflows["secretkey"],
        }
    if not set(STORE_KEYS) <= set(values):
        raise ConfigError(
            f"there is no Secret {SECRET}, and {' and '.join(STORE_KEYS)} are not set",
            "set them for this command, create the Secret, or add --component external-secrets",
        )
    values |= {key: os.environ[key] for key in OTHER_KEYS if os.environ.get(key)}
    _create_secret(kubectl, SECRET, values)


def _there(kubectl: Kubectl, kind: str, name: str) -> bool:
    return bool(kubectl.read("get", kind, name, "--ignore-not-found", "-o", "name").strip())


def _create_secret(kubectl: Kubectl, name: str, values: dict[str, str]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    kubectl.read("create", "-f", "-", stdin=json.dumps(secret | {"stringData": values}))
    print(f"secret/{name} created with {', '.join(sorted(values))}")


def api_server_rules(kubectl: Kubectl) -> list[Object]:
    """Return the egress rules that lead to the Kubernetes API, whose address may be public."""
    command = ("get", "endpointslices", "-n", "default", "-o", "json")
    try:
        text = kubectl.read(*command, "-l", "kubernetes.io/service-name=kubernetes")
    except ClusterError:
        say("deploy", "the Kubernetes API's addresses cannot be read: see docs/cluster.md, Egress")
        return []
    rules = []
    for item in json.loads(text)["items"]:
        size = {"IPv4": 32, "IPv6": 128}[item["addressType"]]
        blocks = []
        for endpoint in item["endpoints"]:
            for address in endpoint["addresses"]:
                blocks.append({"ipBlock": {"cidr": f"{address}/{size}"}})
        ports = [{"port": port["port"], "protocol": "TCP"} for port in item["ports"]]
        rules.append({"to": blocks, "ports": ports})
    return rules


def _bucket(url: str) -> str:
    """Return the bucket of an S3 URL; raise ConfigError for what no pod could reach."""
    if not url.startswith("s3://"):
        raise ConfigError(
            f"--store {url}: is no store that pods can share", "name s3://bucket/prefix"
        )
    return url.removeprefix("s3://").split("/")[0]


def _add_launcher_config(folder: Path, artifacts: str, bare: bool) -> None:
    """Add the ConfigMap by which Kubeflow Pipelines keeps artifacts on another S3."""
    if not artifacts.startswith("s3://"):
        raise ConfigError(f"--artifacts {artifacts!r}: not an S3 URL", "write s3://bucket/prefix")
    endpoint = os.environ.get("ARXTUNE_S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL", "")
    region = os.environ.get("ARXTUNE_S3_REGION") or os.environ.get("AWS_REGION")
    keys = {"accessKeyKey": STORE_KEYS[0], "secretKeyKey": STORE_KEYS[1]}
    default: Object = {
        "region": region or "us-east-1",
        "credentials": {"fromEnv": False, "secretRef": {"secretName": SECRET, **keys}},
    }
    if endpoint:
        insecure = endpoint.startswith("http:")
        default |= {"endpoint": endpoint, "disableSSL": insecure, "forcePathStyle": True}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kfp-launcher"},
        "data": {
            "defaultPipelineRoot": artifacts,
            "providers": json.dumps({"s3": {"default": default}}, sort_keys=True),
        },
    }
    path = folder / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text("utf-8"))
    if bare:  # Kubeflow Pipelines brings one, which is empty
        kustomization["patches"].append({"patch": yaml.safe_dump(config_map)})
    else:
        (folder / "launcher.yaml").write_text(yaml.safe_dump(config_map), "utf-8")
        kustomization["resources"].append("launcher.yaml")
    path.write_text(yaml.safe_dump(kustomization), "utf-8")
