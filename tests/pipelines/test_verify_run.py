"""`arxtune verify` after a real run: it passes, and any change to any file is found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.shared.errors import ArxtuneError
from pipelines.verify import latest_run, local_runs, verify_run
from tests.pipelines.conftest import Finished


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def add(path: Path) -> None:
    (path.parent / "added").write_text("x")


@pytest.fixture(scope="module")
def folder(embedded_run: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of a promoted run that may be damaged."""
    copy = tmp_path_factory.mktemp("home") / "runs" / embedded_run.run.folder.name
    shutil.copytree(embedded_run.run.folder, copy)
    return copy


def test_a_promoted_run_verifies_as_readme_says(embedded_run: Finished) -> None:
    assert latest_run(embedded_run.home) >= embedded_run.run.folder
    lines = verify_run(embedded_run.run.folder)
    assert lines[0].endswith("files of the run are as it left them")
    assert any(line.startswith("verdict recomputed: better") for line in lines)
    assert lines[-1].endswith("files of the release are as promote wrote them")
    (run,) = [
        line for line in local_runs(embedded_run.home) if embedded_run.run.folder.name in line
    ]
    assert "better" in run
    assert embedded_run.run.verdict["dataset_digest"][:12] in run


CHANGES: list[Callable[[Path], object]] = [flip, truncate, Path.unlink, add]


def test_every_change_to_any_file_of_a_run_is_found(folder: Path) -> None:
    missed = []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 100
    for number, path in enumerate(files):
        before, change = path.read_bytes(), CHANGES[number % len(CHANGES)]
        if not before and change in (flip, truncate):
            change = add
        change(path)
        try:
            verify_run(folder)
            missed.append(path.relative_to(folder))
        except ArxtuneError:
            pass
        (path.parent / "added").unlink(missing_ok=True)
        path.write_bytes(before)
    assert missed == []
    verify_run(folder)
