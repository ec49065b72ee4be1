"""Run a stage: by hand (`python -m components.<stage>`) or as a Kubeflow component.

Each stage's `__main__.py` makes one Stage of its function and its config. The function's first
argument is the config, the others are folders or files (Path), and it returns the summary of its
Ledger.
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from components.shared.config import StageConfig
from components.shared.errors import ArxtuneError, ConfigError, unwritable
from components.shared.lifetime import (
    RUN_PID,
    end_with_run,
    exit_cleanly_on_sigterm,
    keep_store,
)
from components.shared.progress import say

ERROR_MARK = "arxtune: error: "  # opens the one line that a runner shows of a failed stage
STATUS_MARK = "arxtune: status: "  # opens the line that tells a local runner the exit status

Summary = dict[str, Any]


class Stage:
    """A stage's function and the class of its config."""

    def __init__(self, core: Callable[..., Summary], config: type[StageConfig]) -> None:
        self.core, self.config, self.name = core, config, config.stage
        parameters = inspect.signature(core).parameters
        self.folders = [name for name in parameters if name != "config"]

    def run(self, arguments: Mapping[str, Any]) -> Summary:
        """Run the stage as a component does, on the component's own arguments (its `locals()`).

        Artifacts stand under the names of the function's folders, `metrics` receives the figures,
        `settings` is JSON {"<stage>": {"<knob>": value}}, `stage` is this object, and the rest are
        knobs. An error of ours ends the process with one line and its status. Returns the stage's
        summary.
        """
        exit_cleanly_on_sigterm()
        end_with_run()
        keep_store()
        try:
            special = {*self.folders, "metrics", "settings", "stage"}
            given = {name: value for name, value in arguments.items() if name not in special}
            settings = parse_settings(arguments.get("settings", ""))
            config = self.config.build(given, settings.get(self.name, {}))
            paths = {name: Path(arguments[name].path) for name in self.folders}
            summary = self.core(config, **paths)
        except Exception as error:
            if known := known_error(error):
                fail(known)
            raise
        if "metrics" in arguments:
            arguments["metrics"].metadata.update(figures(summary))
        return summary

    def main(self) -> None:
        """Run the stage by hand: one flag a knob, one a folder."""
        description = inspect.getdoc(self.core)
        parser = OneLineParser(prog=f"python -m components.{self.name}", description=description)
        for name in self.folders:
            flag = "--" + name.replace("_", "-")
            parser.add_argument(flag, type=Path, required=True, metavar="PATH")
        add_knobs(parser, self.config.knobs())
        given = vars(parser.parse_args())
        folders = {name: SimpleNamespace(path=given.pop(name)) for name in self.folders}
        summary = self.run({**given, **folders})
        kept, seen = summary["kept"], summary["seen"]
        say(self.name, f"kept {kept} of {seen} {summary['unit']}, {summary['seconds']} s")


def parse_settings(text: str) -> dict[str, dict[str, Any]]:
    """Parse the settings parameter; raise ConfigError when it is no JSON object of objects."""
    try:
        settings = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"settings: not JSON ({error})") from None
    of_objects = isinstance(settings, dict) and all(isinstance(v, dict) for v in settings.values())
    if not of_objects:
        example = 'for example {"finetune": {"epochs": 2}}'
        raise ConfigError("settings: must be a JSON object of objects", example)
    return dict(settings)


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a summary, flat, for the dashboard's table."""
    numbers = {key: summary[key] for key in ("seen", "kept", "seconds") if key in summary}
    for reason, count in summary.get("dropped", {}).items():
        numbers[f"dropped: {reason}"] = count
    for name, value in summary.get("facts", {}).items():
        if type(value) in (int, float) and abs(value) < float("inf"):  # Go's JSON knows no others
            numbers[name] = value
    return numbers


def known_error(error: Exception) -> ArxtuneError | None:
    """Return the error that is told in one line: ours, or that of a disk; None for a bug."""
    return error if isinstance(error, ArxtuneError) else unwritable(error)


def fail(error: ArxtuneError) -> NoReturn:
    """Print one line and end with the error's status."""
    if os.environ.get(RUN_PID, str(os.getpid())) != str(
        os.getpid()
    ):  # kfp's runner loses the status of a stage's process
        print(f"{STATUS_MARK}{error.status}", file=sys.stderr)
    print(f"{ERROR_MARK}{error}", file=sys.stderr, flush=True)
    sys.exit(error.status)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{ERROR_MARK}{message}; see '{self.prog} --help'\n")


def add_knobs(
    parser: argparse.ArgumentParser,
    knobs: Mapping[str, FieldInfo],
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add one flag a knob; flags not given stay out of the namespace. `defaults` win over the
    knobs' own in the help."""
    known = {option for action in parser._actions for option in action.option_strings}
    for name, field in knobs.items():
        flag = "--" + name.replace("_", "-")
        if flag in known:
            continue
        default = (defaults or {}).get(name, field.default)
        shown = ",".join(default) if isinstance(default, tuple) else str(default)
        text = f"{field.description} (default: {shown or 'none'})".replace("%", "%%")
        parser.add_argument(
            flag, dest=name, default=argparse.SUPPRESS, metavar=name.upper(), help=text
        )
