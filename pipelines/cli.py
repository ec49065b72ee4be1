"""The command line: `arxtune COMMAND`; each command has a module of its own."""

import argparse
import os
import sys
from pathlib import Path

from components.shared import images
from components.shared.errors import ArxtuneError
from components.shared.lifetime import exit_with_children_on_sigterm
from components.shared.stage import OneLineParser, fail, known_error
from pipelines import (
    ask,
    clean,
    deploy,
    doctor,
    explain,
    plan,
    releases,
    run,
    runs,
    score,
    unpark,
    verify,
)


def main() -> None:
    """Parse the command line and run one command; errors of ours are one line and their status."""
    arguments = parser().parse_args()
    exit_with_children_on_sigterm()
    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (ArxtuneError, OSError) as error:
        if known := known_error(error):
            fail(known)
        raise
    except KeyboardInterrupt:
        told = "arxtune: interrupted; the same command goes on where this one stopped"
        print(told, file=sys.stderr)
        sys.exit(130)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top: argparse.ArgumentParser = OneLineParser(
        prog="arxtune", description="Keep an open language model current with new arXiv papers."
    )
    top.add_argument("--version", action="version", version=f"arxtune {images.VERSION}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run.register(commands)
    compiled = commands.add_parser("compile", help="write the pipeline as YAML for a cluster")
    compiled.add_argument("--output", type=Path, default=Path("build/arxtune.yaml"), metavar="FILE")
    compiled.add_argument(
        "--triples", action="store_true", help="write the one that begins at curate instead"
    )
    compiled.set_defaults(command=_compile)
    for command in (
        plan,
        releases,
        ask,
        score,
        verify,
        explain,
        doctor,
        deploy,
        runs,
        clean,
        unpark,
    ):
        command.register(commands)
    return top


def _compile(arguments: argparse.Namespace) -> None:
    from kfp import compiler

    from pipelines.arxtune import arxtune
    from pipelines.own_triples import own_triples

    images.warn_without_registry()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pipeline = own_triples if arguments.triples else arxtune
    compiler.Compiler().compile(pipeline, str(arguments.output))
    print(arguments.output)


if __name__ == "__main__":
    main()
