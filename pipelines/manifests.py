"""What belongs on the cluster, as one folder that `kubectl apply -k` takes."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from components.shared import images
from components.shared.errors import ConfigError
from components.shared.records import digest

Object = dict[str, Any]
MANIFESTS = Path(__file__).parents[1] / "manifests"
OVERLAYS = ("existing", "standalone", "standalone-minio", "kind")
COMPONENTS = (
    *("bucket", "minio", "kueue", "external-secrets", "gpu-check", "lifecycle", "outside-store"),
    "trainer",
)
JOBS = ("models", "bucket", "lifecycle", "gpu-check")
KFP = re.compile(
    r"https://github\.com/kubeflow/pipelines/manifests/kustomize/([\w/-]+)\?ref=[\w.]+"
)
ARGO = re.compile(
    r"https://github\.com/argoproj/argo-workflows/(manifests/[\w/-]+)\?ref=([\w.]+)\S*"
)


def prepare(
    folder: Path,
    overlay: str,
    components: Sequence[str] = (),
    *,
    namespace: str = "kubeflow",
    bucket: str = "",
    api_server: Sequence[Object] = (),
    kfp_manifests: Path | None = None,
    minio_image: str = "",
) -> None:
    """Write a folder for `kubectl apply -k`, with a copy of the manifests in it.

    `bucket` is one that must be made, `api_server` the rules of egress to the Kubernetes API,
    `kfp_manifests` a copy of manifests/kustomize of kubeflow/pipelines, for want of github.com.
    """
    if overlay != "existing" and namespace != "kubeflow":
        raise ConfigError(
            f"--overlay {overlay} --namespace {namespace}: Kubeflow Pipelines has addresses of its "
            "own namespace compiled in",
            "leave out --namespace, or install it yourself and take --overlay existing",
        )
    shutil.copytree(MANIFESTS, folder / "manifests", dirs_exist_ok=True)
    if kfp_manifests is not None:
        _use_local_copy(folder / "manifests", kfp_manifests)
    there = yaml.safe_load(
        (MANIFESTS / "overlays" / overlay / "kustomization.yaml").read_text("utf-8")
    )
    wanted = dict.fromkeys([*components, *(["bucket"] if bucket else [])])
    for path in there.get("components", []):
        wanted.pop(Path(path).name, None)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [f"manifests/overlays/{overlay}"],
        "components": [f"manifests/components/{name}" for name in wanted],
        "images": _images(minio_image),
        "patches": _patches(namespace, bucket, api_server),
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")


def _images(minio_image: str) -> list[dict[str, str]]:
    replaced = []
    for name in images.STAGES_OF:
        new_name, _, tag = images.name_of(name).rpartition(":")
        replaced.append({"name": f"arxtune/{name}", "newName": new_name, "newTag": tag})
    if minio_image:  # a name with an optional :tag and @sha256:digest
        rest, _, digest = minio_image.partition("@")
        name, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:  # a port of the registry, and no tag
            name, tag = rest, ""
        minio = {"name": "quay.io/minio/minio", "newName": name}
        replaced.append(minio | ({"digest": digest} if digest else {"newTag": tag}))
    return replaced


def _patches(namespace: str, bucket: str, api_server: Sequence[Object]) -> list[Object]:
    """Return what only this cluster knows: names, addresses and accounts."""
    patches = []
    # A Job never changes: another image or bucket is another Job. Finished ones go after a day.
    suffix = digest([images.DATA, images.LLM, bucket])[:10]
    for job in JOBS:
        operations = [_replace("/metadata/name", f"arxtune-{job}-{suffix}")]
        if job == "bucket" and bucket:
            args = "/spec/template/spec/containers/0/args"
            operations.append(_replace(args, ["--bucket", bucket]))
        target = {"kind": "Job", "name": f"arxtune-{job}"}
        patches.append(_patch(target, operations) | {"options": {"allowNameChange": True}})
    subjects = [_replace(f"/subjects/{number}/namespace", namespace) for number in (0, 1)]
    patches.append(_patch({"kind": "RoleBinding", "name": "arxtune-(pace|trainer)"}, subjects))
    rules = [{"op": "add", "path": "/spec/egress/-", "value": rule} for rule in api_server]
    if rules:
        patches.append(_patch({"kind": "NetworkPolicy", "name": "arxtune-cluster"}, rules))
    return patches


def _patch(target: dict[str, str], operations: list[Object]) -> Object:
    return {"target": target, "patch": yaml.safe_dump(operations)}


def _replace(path: str, value: object) -> Object:
    return {"op": "replace", "path": path, "value": value}


def _use_local_copy(manifests: Path, kfp_manifests: Path) -> None:
    """Point what comes from github.com at a copy, as kustomize stays within one root."""
    if not (kfp_manifests / "env").is_dir():
        raise ConfigError(
            f"--kfp-manifests {kfp_manifests}: no folder env in it",
            "name manifests/kustomize of kubeflow/pipelines",
        )
    copy = manifests / "kfp"
    shutil.copytree(kfp_manifests, copy)
    for path in (manifests / "upstream").glob("*/kustomization.yaml"):
        path.write_text(KFP.sub(r"../../kfp/\1", path.read_text("utf-8")), "utf-8")
    for path in copy.rglob("kustomization.yaml"):
        text = path.read_text("utf-8")
        if found := ARGO.search(text):
            if not (copy / "argo-workflows" / "manifests").is_dir():
                raise ConfigError(
                    f"--kfp-manifests {kfp_manifests}: it takes Argo from github.com",
                    f"put Argo beside them: git clone --depth 1 --branch {found[2]} "
                    f"https://github.com/argoproj/argo-workflows {kfp_manifests}/argo-workflows",
                )
            up = "../" * len(path.parent.relative_to(copy).parts)
            path.write_text(ARGO.sub(rf"{up}argo-workflows/\1", text), "utf-8")
