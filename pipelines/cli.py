"""The command line: `arxtune COMMAND`; each command but run and compile has a module of its own."""

import argparse
import sys
from pathlib import Path
from typing import Any

from components.shared.errors import ArxtuneError, ConfigError
from components.shared.lifetime import exit_with_children_on_sigterm
from components.shared.stage import OneLineParser, add_knobs, fail, known_error
from pipelines import deploy, doctor, explain, plan, releases, runs, schedule, score, verify
from pipelines.profile import EMBEDDED, make_profile, parameters


def main() -> None:
    """Parse the command line and run one command; errors of ours are one line and status 1."""
    arguments = _parser().parse_args()
    exit_with_children_on_sigterm()
    try:
        arguments.command(arguments)
    except (ArxtuneError, OSError) as error:
        if known := known_error(error):
            fail(known)
        raise
    except KeyboardInterrupt:
        print(
            "arxtune: interrupted; the same command goes on where this one stopped", file=sys.stderr
        )
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="arxtune", description="Keep an open language model current with new arXiv papers."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the pipeline on this machine and end in a report")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings to lay over {EMBEDDED.name}"
    )
    run.add_argument("--papers", type=Path, metavar="FOLDER", help="run on the PDFs of a folder")
    run.add_argument(
        "--triples",
        type=Path,
        metavar="FILE",
        help="begin at curate, with triples in JSON or JSONL",
    )
    run.add_argument(
        "--home",
        type=Path,
        default=Path(".arxtune"),
        metavar="FOLDER",
        help="where runs and store live",
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.KNOB=VALUE",
        help="any other setting; may be repeated",
    )
    run.add_argument(
        "--pipeline",
        type=Path,
        metavar="YAML",
        help="run a compiled pipeline instead of this package's",
    )
    run.add_argument(
        "--containers", action="store_true", help="run each stage in its image, see 'make images'"
    )
    add_knobs(run, parameters(), make_profile(None, {}, []).parameters)
    run.set_defaults(command=_run)

    compiled = commands.add_parser("compile", help="write the pipeline as YAML for a cluster")
    compiled.add_argument("--output", type=Path, default=Path("build/arxtune.yaml"), metavar="FILE")
    compiled.add_argument(
        "--triples", action="store_true", help="write the one that begins at curate instead"
    )
    compiled.set_defaults(command=_compile)

    for command in (plan, releases, score, verify, explain, doctor, deploy, runs, schedule):
        command.register(commands)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from pipelines import local
    from pipelines.summary import summarise

    flags = {name: getattr(arguments, name) for name in parameters() if hasattr(arguments, name)}
    if arguments.triples is not None:
        _refuse_before_curate(arguments, flags)
        flags = {**TRIPLES_FLAGS, **flags}
    if arguments.papers is not None:
        flags = {**FOLDER_FLAGS, **flags}
    profile = make_profile(arguments.config, flags, arguments.set)
    pipeline = _load(arguments.pipeline) if arguments.pipeline else None
    try:
        run = local.run(
            profile,
            arguments.home,
            arguments.papers,
            pipeline,
            arguments.triples,
            containers=arguments.containers,
        )
    except local.StageCrashed as crash:
        print(f"{crash}\narxtune: a stage ended with a bug, see above", file=sys.stderr)
        sys.exit(70)
    print(summarise(run))


# A folder's papers are all wanted, whatever they are about and however old. Naming the files is the opt-in to them.
FOLDER_FLAGS = {
    "site": "stand-in",
    "query": "*",
    "published_after": "1991-01-01",
    "allow_licences": "open,unknown",
}
# So is naming a file of triples: neither their papers' licences nor their teacher's terms are usually known.
TRIPLES_FLAGS = {"allow_licences": "open,unknown,unknown-teacher"}


def _refuse_before_curate(arguments: argparse.Namespace, flags: dict[str, Any]) -> None:
    """Refuse flags that would mean nothing in a run that begins at curate."""
    from pipelines.own_triples import own_triples

    unused = flags.keys() - own_triples.pipeline_spec.root.input_definitions.parameters.keys()
    unused |= {"papers"} if arguments.papers is not None else set()
    if unused:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unused))
        raise ConfigError(
            f"--triples with {names}: the run begins at curate", "leave one of them out"
        )


def _load(path: Path):  # type: ignore[no-untyped-def]
    from kfp import components

    if not path.is_file():
        raise ConfigError(f"--pipeline {path}: no such file", "write it by 'arxtune compile'")
    return components.load_component_from_file(str(path))


def _compile(arguments: argparse.Namespace) -> None:
    from kfp import compiler

    from pipelines.arxtune import arxtune
    from pipelines.own_triples import own_triples

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(
        own_triples if arguments.triples else arxtune, str(arguments.output)
    )
    print(arguments.output)


if __name__ == "__main__":
    main()
