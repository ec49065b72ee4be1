"""One real run of the whole pipeline with embedded defaults, shared by the tests that look at its
result."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.shared.records import file_digest
from pipelines.local import Run

ROOT = Path(__file__).parents[2]
TIMEOUT = (
    2_400  # seconds; a run takes one or two minutes on an idle machine, far more beside others
)


@dataclass
class Finished:
    """What a finished `arxtune run` left behind."""

    home: Path
    output: str
    run: Run

    @property
    def dataset(self) -> tuple[str, str]:
        """Return the digests of the files that were trained and tested on."""
        folder = self.run.folder_of("curate")
        return tuple(file_digest(folder / side / "examples.jsonl") for side in ("train", "test"))  # type: ignore[return-value]

    @property
    def tasks(self) -> set[str]:
        """Return the names of the tasks that ran."""
        return {path.name for path in self.run.folder.glob("artifacts/*/*") if path.is_dir()}


def start(home: Path, *flags: str | Path) -> subprocess.Popen[str]:
    """Start `arxtune run` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "pipelines.cli", "run", "--home", str(home), *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, "GROQ_API_KEY": "", "HF_TOKEN": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(home: Path, *flags: str | Path) -> Finished:
    """Run `arxtune run` to its end."""
    process = start(home, *flags)
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, output
    (report,) = re.findall(r"report:\s+(\S+)", output)
    return Finished(home, output, Run(Path(report).parent, 0.0))


# Less of everything, for tests that need a whole run but not a good model.
SMALL: Sequence[str] = ("--max-papers", "14", "--train-anyway", "--set", "finetune.epochs=0.5")


@pytest.fixture(scope="session")
def embedded_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run exactly what `make run` runs."""
    return finish(tmp_path_factory.mktemp("embedded"))
