"""What is certain to fail is told before anything is begun, all of it at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.check import Asked, faults
from pipelines.profile import make_profile

ROOT = Path(__file__).parents[2]


def told(
    folder: Path, *, papers: Path | None = None, triples: Path | None = None, **given: Any
) -> str:
    """Return the faults of a run with these parameters, or --set assignments under `settings`."""
    settings = given.pop("settings", [])
    profile = make_profile(None, given, settings, checked=False)
    return "\n".join(map(str, faults(Asked(profile, folder / "home", papers, triples))))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "HF_TOKEN", "ARXTUNE_TEACHER_KEY", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_the_embedded_defaults_are_without_fault(tmp_path: Path) -> None:
    assert told(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"teacher": "groq"}, "GROQ_API_KEY is not set; set it, or --teacher embedded"),
        ({"release": "arxtune/log"}, "release 'arxtune/log' cannot be used"),
        ({"release": ".."}, "release '..' cannot be used"),
        (
            {"settings": ["promote.push_to=some/one"]},
            "push_to='some/one': needs a token; set HF_TOKEN",
        ),
        ({"base_model": "."}, "base model .: there is no config.json in it"),
        ({"store": "/dev/null/store"}, "store /dev/null/store: cannot be written"),
        ({"store": "s3://b"}, "bucket"),
        ({"site": "https://arxiv.invalid"}, "https://arxiv.invalid does not answer: no connection"),
    ],
)
def test_each_fault_is_told(given: dict[str, Any], line: str, tmp_path: Path) -> None:
    assert line in told(tmp_path, **given)


def test_a_store_may_stand_in_for_a_site_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "home/store").mkdir(parents=True)
    assert told(tmp_path, site="https://arxiv.invalid") == ""


def test_own_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    assert "no such folder" in told(tmp_path, papers=tmp_path / "none")
    assert "holds no PDF file" in told(tmp_path, papers=tmp_path / "papers")
    (tmp_path / "papers" / "a.pdf").write_bytes(b"%PDF-1.4")
    assert "1 PDF files, and a verdict needs 8" in told(tmp_path, papers=tmp_path / "papers")
    anyway = ["finetune.train_anyway=true"]
    assert told(tmp_path, papers=tmp_path / "papers", settings=anyway) == ""
    assert "no such file" in told(tmp_path, triples=tmp_path / "none.json")


def test_three_faults_are_told_in_one_go_and_nothing_is_begun(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "run",
        "--teacher",
        "groq",
        "--release",
        "a/b",
    ]
    done = subprocess.run(
        [*command, "--set", "promote.push_to=x/y"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(lines) >= 3
    assert all(line.startswith("arxtune: error: ") for line in lines)
    for word in ("GROQ_API_KEY", "release 'a/b'", "push_to='x/y'"):
        assert word in done.stderr
    assert list(tmp_path.iterdir()) == []
