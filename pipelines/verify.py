"""`arxtune verify RUN`: recompute every number of a run's verdict, offline."""

import argparse
from pathlib import Path

from components.evaluate.verify import verify
from components.promote.release import check_files
from components.shared import manifest
from components.shared.errors import DataError
from components.shared.verdict import BASE, Verdict
from pipelines.local import Run


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune verify` and `runs` to the command line."""
    parser = commands.add_parser("verify", help="recompute a run's verdict from its stored answers")
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN",
        help="folder of a run or an evaluation (default: the latest run)",
    )
    parser.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    parser.set_defaults(command=_verify)
    listed = commands.add_parser("runs", help="list the runs of this machine, newest first")
    listed.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    listed.add_argument("--last", type=int, default=20, metavar="N", help="(default: 20)")
    listed.set_defaults(command=_runs)


def _verify(arguments: argparse.Namespace) -> None:
    print("\n".join(verify_run(arguments.run or latest_run(arguments.home))))


def _runs(arguments: argparse.Namespace) -> None:
    print("\n".join(local_runs(arguments.home)[: arguments.last]) or "no runs yet")


def latest_run(home: Path) -> Path:
    """Return the folder of the latest finished run in a home folder."""
    runs = sorted(path.parent for path in home.glob("runs/*/report.html"))
    if not runs:
        raise DataError(f"{home}: no finished run", "name the folder of one")
    return runs[-1]


def verify_run(folder: Path) -> list[str]:
    """Return what was checked, a line each; raise DataError naming what is not as it was.

    `folder` is a run's, with data, adapter and release beside the evaluation, or the evaluation
    alone.
    """
    if (folder / "verdict.json").exists():
        return verify(folder, {})
    if not list(folder.glob("artifacts/*/evaluate/evaluation")):
        raise DataError(
            f"{folder}: neither a run nor an evaluation", "name a folder below .arxtune/runs"
        )
    problems = manifest.problems(folder)
    if problems:
        raise DataError(f"{folder}: changed since the run ended: {', '.join(problems)}")
    lines = [f"{len(manifest.read(folder))} files of the run are as it left them"]
    run = Run(folder, 0.0)
    data = run.folder_of("curate")
    places = {
        "train": data / "train",
        "test": data / "test",
        "adapter": run.folder_of("finetune") / "adapter",
    }
    lines += verify(run.folder_of("evaluate") / "evaluation", places)
    for release in folder.glob("artifacts/*/promote/release_folder"):
        lines.append(f"{check_files(release)} files of the release are as promote wrote them")
    return lines


def local_runs(home: Path) -> list[str]:
    """Return one line for each run in a home folder, the newest first: its verdict and its data."""
    lines = []
    for folder in sorted(home.glob("runs/*/"), reverse=True):
        found = list(folder.glob("artifacts/*/evaluate/evaluation/verdict.json"))
        if not found:
            lines.append(f"{folder.name:<17}  not finished")
            continue
        verdict = Verdict.read(found[0])
        pair = verdict.against(BASE)
        gain = f"{pair.difference:+.3f}" if pair else "-"
        data = f"{verdict.examples} test examples of {verdict.papers} papers"
        digest = verdict.dataset_digest[:12]
        lines.append(f"{folder.name:<17}  {verdict.word:<15}  {gain:>6}  {data}, data {digest}")
    return lines
