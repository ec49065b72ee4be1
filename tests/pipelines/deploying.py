"""What tests of deploying share: a server, a kubectl that is written down, the command line."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import cli, runs
from pipelines import kubeflow as kubeflow_module
from tests.pipelines.kubeflow_standin import KubeflowStandIn

CRON = "0 0 3 * * 1"
# Two versions of a pipeline as small as the server takes, for tests that deploy many times.
OLD, NEW = ((f"arxtune-{name}", f"root: {name}\n---\nplatforms: {{}}\n") for name in ("old", "new"))
Arxtune = Callable[..., str]


def at(server: KubeflowStandIn, **flags: object) -> argparse.Namespace:
    """Return the flags that name a server, and others."""
    there = {"host": server.url, "namespace": "kubeflow", "context": "", "service_account": ""}
    return argparse.Namespace(**{**there, **flags})


@pytest.fixture(autouse=True)
def quick_and_away_from_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("ARXTUNE_", "KF_", "AWS_", "KUBE", "GROQ", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(kubeflow_module, "RETRY_PAUSE", 0.001)
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.01)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[KubeflowStandIn]:
    with KubeflowStandIn() as standin:
        yield standin


@pytest.fixture
def arxtune(
    server: KubeflowStandIn, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Arxtune:
    """Run a command against the server and return what it printed; of a small pipeline."""
    monkeypatch.setattr("pipelines.deploy.package", lambda arguments: OLD)

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["arxtune", *arguments, "--host", server.url])
        capfd.readouterr()
        try:
            cli.main()
        finally:
            failed = sys.exc_info()[0] is not None
            run.error = capfd.readouterr() if failed else None  # type: ignore[attr-defined]
        return capfd.readouterr().out

    return run


def refused(arxtune: Arxtune, *arguments: str) -> str:
    """Run a command that must fail, and return its one line."""
    with pytest.raises(SystemExit) as end:
        arxtune(*arguments)
    assert end.value.code == 1
    (line,) = arxtune.error.err.splitlines()  # type: ignore[attr-defined]
    return str(line)


# What it is asked is written down, and what it answers is laid out beforehand. To the shell the
# first lines start the interpreter, whose path may hold blanks; to Python they are a text.
KUBECTL = """#!/bin/sh
''':'
exec {python} "$0" "$@"
'''
import json, pathlib, sys
folder = pathlib.Path({folder!r})
arguments = [word for word in sys.argv[1:] if word not in ("-n", "kubeflow")]
stdin = sys.stdin.read() if "-" in arguments else ""
with (folder / "calls").open("a") as file:
    file.write(json.dumps([arguments, stdin]) + "\\n")
if "-k" in arguments:
    top = pathlib.Path(arguments[arguments.index("-k") + 1])
    (folder / "kustomization").write_text((top / "kustomization.yaml").read_text())
for name, text, status in json.loads((folder / "answers").read_text()):
    if name in " ".join(arguments):
        print(text)
        sys.exit(status)
if "--raw" in arguments:
    sys.exit("Error from server (NotFound): not there")
"""


class FakeKubectl:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer()
        path = folder / "kubectl"
        path.write_text(KUBECTL.format(python=shlex.quote(sys.executable), folder=str(folder)))
        path.chmod(0o755)

    def answer(self, *answers: tuple[str, str, int]) -> None:
        """Lay out answers: (a part of the command line, what is printed, exit status)."""
        (self.folder / "answers").write_text(json.dumps(answers))

    def calls(self) -> list[tuple[str, str]]:
        """Return the command lines and their input so far, and forget them."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [(" ".join(words), stdin) for words, stdin in map(json.loads, lines)]


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return FakeKubectl(folder)
