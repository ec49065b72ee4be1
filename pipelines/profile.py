"""Where a run's settings come from: the embedded profile, a config file over it, flags over both."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.shared.config import StageConfig, convert, known_types
from components.shared.errors import ConfigError
from components.shared.stage import STAGES, load_config

EMBEDDED = Path(__file__).with_name("embedded.toml")
STAND_IN = "stand-in"  # as `site`: the shipped site with sample papers, on loopback
EMBEDDED_STORE = (
    "embedded"  # as `store`: a real S3 server on loopback, with its data in the home folder
)


@dataclass
class Profile:
    """Parameters of the pipeline, and settings of single stages: {"<stage>": {"<knob>": value}}."""

    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def check(self) -> None:
        """Build every stage's config once, so that a wrong value is found before anything starts."""
        for name, config in configs().items():
            exposed = {
                key: value for key, value in self.parameters.items() if key in config.knobs()
            }
            if exposed.get("site") == STAND_IN:
                exposed["site"] = "http://127.0.0.1:1"
            config.build(exposed, self.settings.get(name, {}))


def configs() -> dict[str, type[StageConfig]]:
    """Return the config class of every stage."""
    return {name: load_config(name) for name in STAGES}


def parameters() -> dict[str, Any]:
    """Return the pipeline's parameters: every exposed knob with its type."""
    return {
        name: known_types(config)[name]
        for config in configs().values()
        for name in config.knobs(exposed_only=True)
    }


def make_profile(
    config_file: Path | None,
    flags: Mapping[str, Any],
    assignments: Iterable[str],
    base: Path | None = EMBEDDED,
) -> Profile:
    """Lay a config file, then flags, then `stage.knob=value` assignments over a base: the embedded profile, or none."""
    profile = Profile()
    for path in filter(None, (base, config_file)):
        _lay(profile, _read(path), path.name)
    _lay(profile, {"pipeline": dict(flags)}, "flags")
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        stage, dot, knob = name.partition(".")
        if not (equals and dot):
            raise ConfigError(
                f"--set {assignment!r}: not an assignment", "write --set stage.knob=value"
            )
        _lay(profile, {stage: {knob: value}}, "--set")
    profile.check()
    return profile


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {path}: not TOML ({error})") from None


def _lay(profile: Profile, tables: Mapping[str, Any], where: str) -> None:
    known = parameters()
    for table, values in tables.items():
        if table != "pipeline" and table not in STAGES:
            raise ConfigError(
                f"{where}: there is no stage {table!r}", f"known: pipeline, {', '.join(STAGES)}"
            )
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: {table} must be a table", f"write [{table}]")
        for name, value in values.items():
            if table == "pipeline" and name not in known:
                raise ConfigError(
                    f"{where}: there is no parameter {name!r}", f"known: {', '.join(known)}"
                )
            if name in known:
                _set_parameter(profile, name, convert(name, value, known[name]))
            else:
                profile.settings.setdefault(table, {})[name] = value


def _set_parameter(profile: Profile, name: str, value: Any) -> None:
    if name == "base_model" and profile.parameters.get(name, value) != value:
        # The embedded recipe is for the small model made on the spot; another one gets the stage's own defaults.
        for stage in ("finetune", "evaluate"):
            profile.settings.pop(stage, None)
    profile.parameters[name] = value
