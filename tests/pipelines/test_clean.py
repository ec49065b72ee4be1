"""`arxtune clean` frees old runs and nothing else."""

from pathlib import Path

import pytest

from components.shared.errors import ConfigError
from pipelines import cli
from pipelines.local import hold


def clean(*words: str | Path) -> None:
    arguments = cli.parser().parse_args(["clean", *map(str, words)])
    arguments.command(arguments)


def test_it_says_what_it_would_free_and_then_frees_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("runs/20260101-000000", "runs/20260102-000000", "store", "releases/arxtune/v1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 2**20)
    clean("--home", tmp_path)
    told = capsys.readouterr().out
    assert "1.0 MiB" in told
    assert "20260101" in told
    assert "20260102" not in told
    assert len(list(tmp_path.rglob("file"))) == 4
    clean("--home", tmp_path, "--yes")
    assert {path.parent.name for path in tmp_path.rglob("file")} == {
        "20260102-000000",
        "store",
        "v1",
    }


def test_it_waits_for_no_run_and_makes_no_home(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run was made there"):
        clean("--home", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()
    (tmp_path / "runs").mkdir()
    with hold(tmp_path), pytest.raises(ConfigError, match="another run is using it"):
        clean("--home", tmp_path, "--yes")
