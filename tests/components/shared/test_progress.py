"""What is said to nobody costs nothing: a stage whose runner has ended still saves what it has."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from components.shared.progress import say
say("finetune", "one")
sys.stdin.readline()
say("finetune", "two")
say("finetune", "three")
Path(sys.argv[1]).write_text("saved")
"""


def test_a_runner_that_has_ended_does_not_end_its_stage(tmp_path: Path) -> None:
    stage = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stage.stdin is not None
    assert stage.stdout is not None
    assert stage.stdout.readline() == "| finetune  one\n"
    stage.stdout.close()
    stage.stdin.write("\n")
    stage.stdin.close()
    assert stage.wait(60) == 0
    assert (tmp_path / "out").read_text() == "saved"
