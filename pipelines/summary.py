"""The end of a run, in a few lines: verdict, table, release, report."""

from components.evaluate.verdict import table
from components.shared.verdict import Verdict
from pipelines.local import Run


def summarise(run: Run) -> str:
    """Return what is printed when a run has ended."""
    verdict = Verdict.read(run.folder_of("evaluate") / "evaluation" / "verdict.json")
    lines = ["", table(verdict), ""]
    if released := run.released:
        lines.append(f"released: {released['prefix']}")
    lines.append(f"dataset:  {run.lineage['curate']['facts']['dataset digest']}")
    lines.append(f"report:   {run.report}")
    lines.append(f"took:     {run.seconds:.0f} s")
    return "\n".join(lines)
