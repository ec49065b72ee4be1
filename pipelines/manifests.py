"""Render what belongs on the cluster: an overlay, components switched on, and the images and namespace of this one."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from components.shared import images
from components.shared.errors import ConfigError, ToolError

MANIFESTS = Path(__file__).parents[1] / "manifests"
UPSTREAM = re.compile(
    r"https://github\.com/kubeflow/pipelines/manifests/kustomize/([\w/-]+)\?ref=([\w.]+)"
)
OVERLAYS = ("existing", "standalone", "standalone-minio", "kind")
COMPONENTS = (
    "minio",
    "kueue",
    "external-secrets",
    "gpu-check",
    "lifecycle",
    "outside-store",
    "trainer",
)
CLUSTER_WIDE = (
    "ClusterQueue",
    "ResourceFlavor",
)  # kinds that kustomize does not know to have no namespace
RENDER_SECONDS = 300  # a remote base is fetched from its repository


def kfp_version() -> str:
    """Return the version of Kubeflow Pipelines that the standalone overlays install."""
    (version,) = {
        found[1] for found in UPSTREAM.findall(_upstream_file(MANIFESTS).read_text("utf-8"))
    }
    return str(version)


def render(
    overlay: str,
    components: Sequence[str] = (),
    *,
    namespace: str = "kubeflow",
    kfp_manifests: Path | None = None,
    manifests: Path = MANIFESTS,
    minio_image: str = "",
) -> list[dict[str, Any]]:
    """Return the objects of an overlay with components on top.

    `kfp_manifests` is a copy of manifests/kustomize of kubeflow/pipelines, for clusters without a way to it.
    """
    for name, known, what in (
        (overlay, OVERLAYS, "overlay"),
        *((name, COMPONENTS, "component") for name in components),
    ):
        if name not in known:
            raise ConfigError(f"there is no {what} {name!r}", f"known: {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="arxtune-manifests-") as scratch:
        copy = Path(scratch) / "manifests"
        shutil.copytree(manifests, copy)
        if kfp_manifests is not None:
            _use_local_copy(copy, kfp_manifests)
        top = Path(scratch) / "kustomization.yaml"
        own = [{"name": f"arxtune/{name}", "newName": f"{images.PREFIX}/{name}", "newTag": images.TAG}
               for name in ("scrape", "data", "llm")]  # fmt: skip
        top.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": namespace,
                    "resources": [f"manifests/overlays/{overlay}"],
                    "components": [
                        f"manifests/components/{name}" for name in _new(overlay, components)
                    ],
                    "images": own + _image("quay.io/minio/minio", minio_image),
                }
            )
        )
        text = _kustomize(Path(scratch))
    objects = [found for found in yaml.safe_load_all(text) if found]
    for found in objects:
        if found["kind"] in CLUSTER_WIDE:
            found["metadata"].pop("namespace", None)
        for subject in found.get("subjects", []) if found["kind"] == "RoleBinding" else []:
            subject["namespace"] = (
                namespace  # kustomize leaves accounts alone that it does not make itself
            )
    return objects


def _new(overlay: str, components: Sequence[str]) -> list[str]:
    """Return the components that the overlay has not got by itself, each once."""
    text = (MANIFESTS / "overlays" / overlay / "kustomization.yaml").read_text("utf-8")
    there = {Path(name).name for name in yaml.safe_load(text).get("components", [])}
    return [name for name in dict.fromkeys(components) if name not in there]


def _image(name: str, wanted: str) -> list[dict[str, str]]:
    """Return the replacement of an image by `wanted`, a name with an optional :tag and @sha256:digest."""
    if not wanted:
        return []
    rest, _, digest = wanted.partition("@")
    head, slash, last = rest.rpartition("/")
    base, _, tag = last.partition(":")
    return [
        {
            "name": name,
            "newName": head + slash + base,
            **({"digest": digest} if digest else {"newTag": tag}),
        }
    ]


def _upstream_file(manifests: Path) -> Path:
    return manifests / "upstream" / "kustomization.yaml"


def _use_local_copy(manifests: Path, kfp_manifests: Path) -> None:
    """Point the upstream of a copied `manifests` at a folder, copied in because kustomize stays within one root."""
    if not (kfp_manifests / "env").is_dir():
        raise ConfigError(
            f"--kfp-manifests {kfp_manifests}: no folder env in it",
            "name manifests/kustomize of kubeflow/pipelines",
        )
    shutil.copytree(kfp_manifests, manifests / "kfp")
    path = _upstream_file(manifests)
    path.write_text(UPSTREAM.sub(r"../kfp/\1", path.read_text("utf-8")))


def _kustomize(folder: Path) -> str:
    for command in (["kubectl", "kustomize", str(folder)], ["kustomize", "build", str(folder)]):
        if shutil.which(command[0]):
            break
    else:
        raise ToolError(
            "neither kubectl nor kustomize is installed", "install kubectl 1.27 or newer"
        )
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=RENDER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolError(
            "rendering the manifests took too long",
            "can github.com be reached? see --kfp-manifests",
        ) from None
    if result.returncode:
        line = (result.stderr.strip() or "no reason given").splitlines()[-1]
        raise ToolError(
            f"rendering the manifests failed: {line}",
            "can github.com be reached? see --kfp-manifests",
        )
    return result.stdout
