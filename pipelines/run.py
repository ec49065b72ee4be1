"""`arxtune run`: the whole pipeline on this machine; `arxtune settings`: what it would use, and
from where."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.shared.errors import ConfigError
from components.shared.stage import ERROR_MARK, add_knobs, fail
from pipelines import check
from pipelines.profile import EMBEDDED, Profile, find_profile, make_profile, parameters
from pipelines.stages import STAGES

# A folder's papers are all wanted, whatever they are about and however old. Naming the files is the
# opt-in to them.
FOLDER_IMPLIES = {
    "site": "stand-in",
    "query": "*",
    "published_after": "1991-01-01",
    "allow_licences": "open,unknown",
    "release": "own-papers",  # the model of the demo is not its champion
}
# So is naming a file of triples: neither their papers' licences nor their teacher's terms are
# usually known.
TRIPLES_IMPLIES = {
    "allow_licences": "open,unknown,unknown-teacher",
    "release": "own-triples",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune run` and `arxtune settings` to the command line."""
    run = commands.add_parser("run", help="run the pipeline on this machine and end in a report")
    _add_flags(run)
    run.add_argument(
        "--home",
        type=Path,
        default=Path(".arxtune"),
        metavar="FOLDER",
        help="where runs and store live (default: .arxtune)",
    )
    run.add_argument(
        "--pipeline", type=Path, metavar="YAML", help="run a compiled pipeline instead of our own"
    )
    run.add_argument(
        "--containers", action="store_true", help="run each stage in its image, see 'make images'"
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="say what a run would take, pay, train and show; only lists are fetched",
    )
    run.set_defaults(command=_run)
    shown = commands.add_parser(
        "settings", help="print each setting that a run would use, and where it comes from"
    )
    _add_flags(shown)
    shown.set_defaults(command=_settings)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--papers", type=Path, metavar="FOLDER", help="run on the PDFs of a folder")
    parser.add_argument(
        "--triples", type=Path, metavar="FILE", help="begin at curate, with triples of one's own"
    )
    parser.add_argument(
        "--profile",
        default=EMBEDDED.stem,
        metavar="NAME",
        help="defaults to begin with: embedded or live (default: embedded)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings to lay over the profile's"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.KNOB=VALUE",
        help="any other setting; may be repeated",
    )
    parser.add_argument(
        "--train-anyway",
        action="store_true",
        help="go on where too few papers are in sight for a verdict",
    )
    add_knobs(parser, parameters(), make_profile(None, {}, []).parameters)


def profile_of(arguments: argparse.Namespace, *, checked: bool = True) -> Profile:
    """Return the merged settings of a command line."""
    flags = {name: getattr(arguments, name) for name in parameters() if hasattr(arguments, name)}
    implied: Mapping[str, Any] = {}
    if arguments.triples is not None:
        _refuse_before_curate(arguments, flags)
        implied = TRIPLES_IMPLIES
    elif arguments.papers is not None:
        implied = FOLDER_IMPLIES
    assignments = list(arguments.set)
    if arguments.train_anyway:
        assignments += _everywhere("train_anyway")
    if arguments.papers is not None:
        assignments += _everywhere("own_papers")
    base = find_profile(arguments.profile)
    return make_profile(arguments.config, flags, assignments, base, implied, checked=checked)


def _everywhere(name: str) -> list[str]:
    """Return the assignments that set a switch of every stage that has it."""
    stages = [stage for stage in STAGES.values() if name in stage.config.knobs()]
    return [f"{stage.name}.{name}=true" for stage in stages]


def _run(arguments: argparse.Namespace) -> None:
    from pipelines import local
    from pipelines.dry_run import dry_run
    from pipelines.summary import summarise

    profile = profile_of(arguments, checked=False)
    faults = check.faults(check.Asked.of(arguments, profile))
    for fault in faults[:-1]:
        print(f"{ERROR_MARK}{fault}", file=sys.stderr)
    if faults:
        fail(faults[-1])
    if arguments.dry_run:
        if arguments.triples:
            fix = "see what is in the file by 'arxtune score', and the training by 'arxtune plan'"
            raise ConfigError("--dry-run with --triples: nothing is fetched or paid for", fix)
        for line in dry_run(profile, arguments.home, arguments.papers):
            print(line, flush=True)
        return
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


def _settings(arguments: argparse.Namespace) -> None:
    rows = list(profile_of(arguments).rows())
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        print(f"{name:<{width}}  {text or '-':<28}  {origin}")


def _refuse_before_curate(arguments: argparse.Namespace, flags: dict[str, Any]) -> None:
    """Refuse flags that would mean nothing in a run that begins at curate."""
    from pipelines.own_triples import own_triples

    unused = flags.keys() - own_triples.pipeline_spec.root.input_definitions.parameters.keys()
    unused |= {"papers"} if arguments.papers is not None else set()
    if unused:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unused))
        asked = f"--triples with {names}"
        raise ConfigError(f"{asked}: the run begins at curate", "leave one of them out")


def _load(path: Path):  # type: ignore[no-untyped-def]
    from kfp import components

    if not path.is_file():
        raise ConfigError(f"--pipeline {path}: no such file", "write it by 'arxtune compile'")
    return components.load_component_from_file(str(path))
