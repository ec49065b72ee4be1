"""The compiled pipeline as something to deploy: its content's hash, and GitOps resources."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.shared.records import digest
from pipelines.names import PIPELINE


@dataclass(frozen=True)
class Package:
    """A compiled pipeline; `version` is a name that its content alone decides."""

    text: str
    version: str


def package() -> Package:
    """Compile the pipeline for a cluster."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "arxtune.yaml"
        compile_to(path)
        text = path.read_text("utf-8")
    return Package(text, f"{PIPELINE}-{content_hash(text)[:12]}")


def compile_to(path: Path) -> None:
    """Write the pipeline as YAML."""
    from kfp import compiler

    from pipelines.arxtune import arxtune

    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(arxtune, str(path))


def content_hash(text: str) -> str:
    """Return the hash of what a compiled pipeline means, not of its layout or the SDK's version.

    The images' tags are part of it, and come from their content: changed code is another version.
    """
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        document.pop("sdkVersion", None)
    return digest(documents)


def write_resources(path: Path, namespace: str) -> str:
    """Write the resources Pipeline and PipelineVersion for GitOps; return the version's name.

    They are read by an API server that runs with --pipelinesStoreKubernetes=true. A version never
    changes, so its name carries the content's hash.
    """
    from kfp.compiler import Compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    from pipelines.arxtune import arxtune

    version = package().version
    path.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(
        arxtune,
        str(path),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=PIPELINE,
            pipeline_display_name=PIPELINE,
            pipeline_version_name=version,
            pipeline_version_display_name=version,
            namespace=namespace,
            include_pipeline_manifest=True,
        ),
    )
    return version
