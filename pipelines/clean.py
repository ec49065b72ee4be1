"""`arxtune clean`: say what the folders of old runs take, and free it. Store and releases stay."""

import argparse
import shutil
from pathlib import Path

from components.shared.errors import ConfigError
from pipelines.local import hold

MIB = 2**20


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune clean` to the command line."""
    parser = commands.add_parser("clean", help="free what old runs take; store and releases stay")
    parser.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    parser.add_argument(
        "--keep", type=int, default=1, metavar="N", help="newest runs that stay (default: 1)"
    )
    parser.add_argument("--yes", action="store_true", help="remove them, instead of only saying so")
    parser.set_defaults(command=_clean)


def _clean(arguments: argparse.Namespace) -> None:
    home = arguments.home
    if not (home / "runs").is_dir():
        raise ConfigError(f"home {home}: no run was made there", "name another by --home")
    with hold(home):
        runs = sorted((home / "runs").iterdir(), reverse=True)[max(0, arguments.keep) :]
        total = 0
        for run in runs:
            taken = sum(path.lstat().st_size for path in run.rglob("*"))
            total += taken
            print(f"{taken / MIB:8.1f} MiB  {run}")
            if arguments.yes:
                shutil.rmtree(run)
    done = "freed" if arguments.yes else "would be freed; free it by: arxtune clean --yes"
    print(f"{total / MIB:8.1f} MiB  {done}")
