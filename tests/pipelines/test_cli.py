"""The command line: what a person gets wrong is one line that says what to do, and a non-zero
exit."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.extract.config import ExtractConfig
from components.shared import stage

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]


def arxtune(
    *arguments: str | Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    assert "Traceback" not in result.stdout + result.stderr
    (line,) = result.stderr.strip().splitlines()
    return line.removeprefix("arxtune: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "--max-paper", "3", "--nonsense"],
            "unrecognized arguments: --nonsense; see 'arxtune --help'",
        ),
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--max-papers", "many"], "max_papers='many': must be a whole number"),
        (["run", "--max-papers", "0"], "must be at least 1"),
        (["run", "--teacher", "oracle"], "must be one of groq, embedded"),
        (["run", "--published-after", "yesterday"], "published_after"),
        (["run", "--query", ""], "query"),
        (
            ["run", "--set", "finetune.epocs=2"],
            "finetune.epocs: there is no such setting; did you mean 'epochs'?",
        ),
        (["run", "--set", "epochs=2"], "write --set stage.knob=value"),
        (["run", "--set", "bake.epochs=2"], "bake: there is no such stage"),
        (["run", "--allow-licences", "mine"], "there is no licence mine"),
        (["run", "--config", "none.toml"], "config file none.toml: No such file or directory"),
        (["run", "--papers", "nowhere"], "--papers nowhere: no such folder"),
        (["run", "--triples", "none.json"], "--triples none.json: no such file"),
        (
            ["run", "--triples", "own.json", "--query", "x"],
            "--triples with --query: the run begins at curate",
        ),
        (
            ["run", "--triples", "own.json", "--papers", "."],
            "--triples with --papers: the run begins at curate",
        ),
        (
            ["run", "--pipeline", "none.yaml"],
            "--pipeline none.yaml: no such file; write it by 'arxtune compile'",
        ),
    ],
)
def test_a_wrong_word_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in one_line(arxtune(*arguments, cwd=tmp_path))
    assert not (tmp_path / ".arxtune").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[pipeline]\nquerry = 'x'\n", "querry: there is no such parameter; did you mean 'query'"),
        ("[bake]\nx = 1\n", "bake: there is no such stage"),
        ("pipeline = 3\n", "pipeline must be a table"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_config_file_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(content)
    assert message in one_line(arxtune("run", "--config", "my.toml", cwd=tmp_path))


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in one_line(arxtune("run", "--home", "file/home", cwd=tmp_path))


def test_two_runs_in_one_home_do_not_meet(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "lock").touch()
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another run is using it" in one_line(
            arxtune("run", "--home", tmp_path, cwd=tmp_path)
        )
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_unreachable_site_is_one_line(tmp_path: Path) -> None:
    line = one_line(
        arxtune("run", "--site", "http://127.0.0.1:9", "--store", "store", cwd=tmp_path)
    )
    assert "http://127.0.0.1:9" in line


def test_a_search_that_finds_nothing_is_one_line(tmp_path: Path) -> None:
    line = one_line(
        arxtune("run", "--query", "zebrafish habitats", "--store", "store", cwd=tmp_path)
    )
    assert "found no papers" in line


def test_a_folder_without_pdfs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    assert (
        "pdf"
        in one_line(arxtune("run", "--papers", "papers", "--store", "store", cwd=tmp_path)).lower()
    )


def test_groq_without_a_key_is_one_line(tmp_path: Path) -> None:
    line = one_line(
        arxtune("run", "--teacher", "groq", "--store", "store", cwd=tmp_path, GROQ_API_KEY="")
    )
    assert "GROQ_API_KEY is not set" in line


def test_help_names_every_parameter_and_its_default(tmp_path: Path) -> None:
    text = " ".join(arxtune("run", "--help", cwd=tmp_path).stdout.split())
    for flag in (
        "--query",
        "--base-model",
        "--papers",
        "--set STAGE.KNOB=VALUE",
        "(default: 2024-04-18)",
    ):
        assert flag in text


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "papers.jsonl"),
        OSError(errno.EROFS, "Read-only file system"),
    ],
)
def test_a_full_disk_is_one_line_in_every_stage(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(config: object) -> dict[str, object]:
        raise error

    monkeypatch.setattr(stage, "exit_cleanly_on_sigterm", lambda: None)
    with pytest.raises(SystemExit):
        stage.Stage(full, ExtractConfig).run({})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("arxtune: error: cannot write")
    assert "make room" in line
