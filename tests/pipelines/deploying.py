"""What tests of a whole deploy have in common: two servers, and the command line between them."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, deploy
from pipelines import kubeflow as kubeflow_module
from pipelines.package import Package
from tests.pipelines.kubeflow_standin import KubeflowStandIn
from tests.pipelines.kubernetes_standin import KubernetesStandIn

HERE = Path(__file__).parent
UPSTREAM = HERE.parent / "manifests" / "upstream"
CRDS = json.loads((HERE.parent / "manifests" / "schemas" / "crds.json").read_text("utf-8"))
KEYS = {"AWS_ACCESS_KEY_ID": "an-access-key", "AWS_SECRET_ACCESS_KEY": "a-secret-access-key"}
SECRETS = {**KEYS, "GROQ_API_KEY": "a-groq-key", "HF_TOKEN": "a-hub-token"}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}
SMALL = Package("root: small\n---\nplatforms: {}\n", "arxtune-small")
BARE = ("standalone", "standalone-minio", "kind")
SOAK = pytest.mark.soak
Arxtune = Callable[..., list[str]]


@pytest.fixture
def kubeflow() -> Iterator[KubeflowStandIn]:
    with KubeflowStandIn() as standin:
        yield standin


@pytest.fixture
def cluster(
    kubeflow: KubeflowStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesStandIn]:
    """A bare cluster that kubectl is logged in to, with nobody's settings, little patience and no S3."""
    for name in [name for name in os.environ if re.match("ARXTUNE_|KF_|AWS_|KUBE|GROQ|HF_", name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where kubectl keeps what it has discovered
    monkeypatch.setattr(kubeflow_module, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(deploy, "ensure_buckets", lambda urls: [])
    with KubernetesStandIn(kubeflow.url) as standin:
        monkeypatch.setenv("KUBECONFIG", str(standin.kubeconfig(tmp_path / "kubeconfig")))
        yield standin


@pytest.fixture
def having_kubeflow(
    cluster: KubernetesStandIn, monkeypatch: pytest.MonkeyPatch
) -> KubernetesStandIn:
    """A cluster as the overlay `existing` wants it, and the keys of its store."""
    apply(NAMESPACE)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return cluster


@pytest.fixture
def arxtune(
    cluster: KubernetesStandIn,
    kubeflow: KubeflowStandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Arxtune:
    """Run a command, of a small pipeline, and return the lines that it printed; then the cluster comes to rest."""
    monkeypatch.setattr("pipelines.package.package", lambda: SMALL)

    def run(*arguments: str, host: str = kubeflow.url) -> list[str]:
        here = ["--host", host] if host else []
        monkeypatch.setattr("sys.argv", ["arxtune", *arguments, *here])
        capsys.readouterr()
        try:
            cli.main()
        finally:
            run.printed = capsys.readouterr()  # type: ignore[attr-defined]
            cluster.cluster.settle()
        lines = run.printed.out.splitlines()  # type: ignore[attr-defined]
        return [line for line in lines if not line.startswith(("| ", "dashboard: "))]

    return run


def refused(arxtune: Arxtune, *arguments: str, **more: str) -> str:
    """Run a command that must fail, and return its one line."""
    with pytest.raises(SystemExit) as end:
        arxtune(*arguments, **more)
    assert end.value.code == 1
    (line,) = arxtune.printed.err.splitlines()  # type: ignore[attr-defined]
    return str(line)


def apply(*objects: dict[str, Any], manager: str = "someone-else", force: bool = False) -> None:
    flags = [
        "--server-side",
        f"--field-manager={manager}",
        *(["--force-conflicts"] if force else []),
    ]
    text = "\n---\n".join(json.dumps(found) for found in objects)
    subprocess.run(
        ["kubectl", "apply", *flags, "-f", "-"],
        input=text,
        text=True,
        check=True,
        capture_output=True,
    )


def a_deploy(overlay: str, *more: str) -> list[str]:
    return ["deploy", "--overlay", overlay, "--kfp-manifests", str(UPSTREAM), *more]


def names(lines: list[str]) -> set[str]:
    return {line.partition(":")[0] for line in lines}
