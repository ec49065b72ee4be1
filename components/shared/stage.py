"""Run a stage: by hand (`python -m components.<stage>`) or as a Kubeflow component.

By convention stage NAME is the function NAME in components/NAME/core.py, set up by the NameConfig in
components/NAME/config.py. Its first argument is the config, the others are folders or files (Path), and it
returns the summary of its Ledger.
"""

import argparse
import errno
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from components.shared.config import StageConfig
from components.shared.errors import ArxtuneError, ConfigError, StoreError
from components.shared.lifetime import end_with_run, exit_cleanly_on_sigterm
from components.shared.progress import say

ERROR_MARK = "arxtune: error: "  # opens the one line that a runner shows of a failed stage

Core = Callable[..., dict[str, Any]]


STAGES = ("scrape", "extract", "generate", "curate", "finetune", "evaluate", "promote")


def load(name: str) -> Core:
    """Return a stage's function."""
    core: Core = getattr(importlib.import_module(f"components.{name}.core"), name)
    return core


def load_config(name: str) -> type[StageConfig]:
    """Return the class of a stage's config."""
    config: type[StageConfig] = getattr(
        importlib.import_module(f"components.{name}.config"), f"{name.title()}Config"
    )
    return config


def run_stage(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a stage as a component does, on the component's own arguments (its `locals()`).

    They are told apart by what they are: artifacts (with a `.path`) are the folders, `metrics` receives the
    figures, `settings` is JSON {"<stage>": {"<knob>": value}}, and the rest are knobs of the config.
    An error of ours ends the process with one line and status 1. Returns the stage's summary.
    """
    exit_cleanly_on_sigterm()
    end_with_run()
    try:
        core, config_class = load(name), load_config(name)
        given = {key: value for key, value in arguments.items() if key in config_class.knobs()}
        config = config_class.build(
            given, parse_settings(arguments.get("settings", "")).get(name, {})
        )
        paths = {key: Path(arguments[key].path) for key in folders_of(core)}
        summary = core(config, **paths)
    except Exception as error:
        if known := known_error(error):
            fail(known)
        raise
    if "metrics" in arguments:
        arguments["metrics"].metadata.update(figures(summary))
    return summary


def folders_of(core: Core) -> list[str]:
    """Return the names of a stage's input and output folders."""
    return [name for name in inspect.signature(core).parameters if name != "config"]


def parse_settings(text: str) -> dict[str, dict[str, Any]]:
    """Parse the settings parameter; raise ConfigError when it is no JSON object of objects."""
    try:
        settings = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"settings: not JSON ({error})") from None
    if not isinstance(settings, dict) or not all(
        isinstance(value, dict) for value in settings.values()
    ):
        raise ConfigError(
            "settings: must be a JSON object of objects", 'for example {"finetune": {"epochs": 2}}'
        )
    return settings


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a summary, flat, for the dashboard's table."""
    numbers = {key: summary[key] for key in ("seen", "kept", "seconds") if key in summary}
    numbers |= {f"dropped: {reason}": count for reason, count in summary.get("dropped", {}).items()}
    facts = summary.get("facts", {})
    return numbers | {key: value for key, value in facts.items() if type(value) in (int, float)}


def known_error(error: Exception) -> ArxtuneError | None:
    """Return the error that is told in one line: ours, or that of a disk; None for a bug."""
    return error if isinstance(error, ArxtuneError) else unwritable(error)


def unwritable(error: Exception) -> StoreError | None:
    """Return the one line for a disk that is full or may not be written, or None when `error` is something else."""
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
    ):
        return StoreError(
            f"cannot write {error.filename or 'a file'}: {error.strerror}",
            "make room or name another folder",
        )
    # Libraries of other languages pass it on as text.
    for text in ("No space left on device", "File too large", "PytorchStreamWriter failed writing"):
        if text in str(error):
            return StoreError(f"cannot write a file: {text}", "make room or name another folder")
    return None


def fail(error: ArxtuneError) -> NoReturn:
    """Print one line and end with status 1."""
    print(f"{ERROR_MARK}{error}", file=sys.stderr, flush=True)
    sys.exit(1)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{ERROR_MARK}{message}; see '{self.prog} --help'\n")


def add_knobs(
    parser: argparse.ArgumentParser, config: type[StageConfig], *, exposed_only: bool = False
) -> None:
    """Add one flag a knob; flags not given stay out of the namespace."""
    known = {option for action in parser._actions for option in action.option_strings}
    for name, field in config.knobs(exposed_only=exposed_only).items():
        flag = "--" + name.replace("_", "-")
        if flag not in known:
            shown = ",".join(field.default) if isinstance(field.default, tuple) else field.default
            text = (
                f"{field.metadata['help']} (default: {shown if shown != '' else 'none'})".replace(
                    "%", "%%"
                )
            )
            parser.add_argument(
                flag, dest=name, default=argparse.SUPPRESS, metavar=name.upper(), help=text
            )


def main(name: str) -> None:
    """Run a stage by hand: one flag a knob, one a folder."""
    core, config_class = load(name), load_config(name)
    parser = OneLineParser(prog=f"python -m components.{name}", description=inspect.getdoc(core))
    for key in folders_of(core):
        parser.add_argument("--" + key.replace("_", "-"), type=Path, required=True, metavar="PATH")
    add_knobs(parser, config_class)
    given = vars(parser.parse_args())
    folders = {key: SimpleNamespace(path=given.pop(key)) for key in folders_of(core)}
    summary = run_stage(name, {**given, **folders})
    say(
        name,
        f"kept {summary['kept']} of {summary['seen']} {summary['unit']}, {summary['seconds']} s",
    )
