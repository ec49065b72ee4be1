"""Where a run's settings come from, bottom up: field defaults, a profile, a config file, flags."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from components.shared.config import unknown_name
from components.shared.errors import ConfigError
from pipelines.stages import STAGES

PROFILES = Path(__file__).with_name("profiles")
EMBEDDED = PROFILES / "embedded.toml"
STAND_IN = "stand-in"  # as `site`: the shipped site with sample papers, on loopback
EMBEDDED_STORE = (
    "embedded"  # as `store`: a real S3 server on loopback, with its data in the home folder
)
PIPELINE, WHEN = "pipeline", "when"

Tables = Mapping[str, Mapping[str, Any]]


@dataclass
class Profile:
    """Parameters of the pipeline, and settings of single stages: {"<stage>": {"<knob>": value}}.

    `origins` tells which layer a value comes from, by "pipeline.<parameter>" or "<stage>.<knob>".
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def lay(self, tables: Tables, origin: str) -> None:
        """Lay tables over what is there: [pipeline] sets parameters, any other table the knobs of
        its stage."""
        for table, values in tables.items():
            for name, value in values.items():
                if table == PIPELINE or owners(name) == [table]:
                    self.parameters[name] = value
                    self.origins[f"{PIPELINE}.{name}"] = origin
                else:
                    self.settings.setdefault(table, {})[name] = value
                    self.origins[f"{table}.{name}"] = origin

    def config(self, name: str) -> Any:
        """Return the config that a stage will have; the stand-in site has no address yet."""
        knobs = STAGES[name].config.knobs()
        exposed = {key: value for key, value in self.parameters.items() if key in knobs}
        if exposed.get("site") == STAND_IN:
            exposed["site"] = "http://127.0.0.1:1"
        return STAGES[name].config.build(exposed, self.settings.get(name, {}))

    def check(self) -> None:
        """Build every stage's config, so that all wrong values are found before anything starts;
        keep them converted."""
        problems = []
        for name, stage in STAGES.items():
            try:
                config = self.config(name)
            except ConfigError as error:
                problems.append(str(error))
                continue
            given = self.settings.get(name, {})
            exposed = self.parameters.keys() & stage.config.knobs().keys() - given.keys()
            if self.parameters.get("site") == STAND_IN:
                exposed -= {"site"}
            self.parameters |= {key: getattr(config, key) for key in exposed}
            if given:
                self.settings[name] = {key: getattr(config, key) for key in given}
        if problems:
            raise ConfigError("; ".join(dict.fromkeys(problems)))

    def rows(self) -> Iterable[tuple[str, Any, str]]:
        """Yield each knob as "<table>.<name>", its value and the layer that it comes from."""
        for name, knob in parameters().items():
            origin = self.origins.get(f"{PIPELINE}.{name}", "default")
            yield f"{PIPELINE}.{name}", self.parameters.get(name, knob.default), origin
        for stage_name, stage in STAGES.items():
            given = self.settings.get(stage_name, {})
            implied = stage.config.implied({**self.parameters, **given})
            for name, knob in stage.config.knobs().items():
                if name in given or not owners(name):
                    default = "default of this machine" if name in implied else "default"
                    origin = self.origins.get(f"{stage_name}.{name}", default)
                    value = given.get(name, implied.get(name, knob.default))
                    yield f"{stage_name}.{name}", value, origin


def parameters() -> dict[str, FieldInfo]:
    """Return the pipeline's parameters: every exposed knob."""
    found: dict[str, FieldInfo] = {}
    for stage in STAGES.values():
        found |= stage.config.knobs(exposed_only=True)
    return found


def owners(parameter: str) -> list[str]:
    """Return the names of the stages that a parameter of the pipeline goes to; none for other
    knobs."""
    return [n for n, stage in STAGES.items() if parameter in stage.config.knobs(exposed_only=True)]


def make_profile(
    config_file: Path | None,
    flags: Mapping[str, Any],
    assignments: Iterable[str],
    base: Path | None = EMBEDDED,
    implied: Mapping[str, Any] | None = None,
    *,
    checked: bool = True,
) -> Profile:
    """Merge all layers: the profile `base`, what flags such as --papers imply, the file, flags,
    --set.

    A profile's `when` tables lie above its others, and below all that the user says; whether they
    count is decided by the parameters of all layers together.
    """
    below = _read(base) if base else {}
    conditional = below.pop(WHEN, {})
    above = [({PIPELINE: dict(implied or {})}, "what --papers or --triples implies")]
    if config_file:
        above.append((_read(config_file), config_file.name))
    above.append(({PIPELINE: dict(flags)}, "flags"))
    above += [(_assignment(text), "--set") for text in assignments]
    for tables, origin in above:
        _check_tables(tables, origin)
    preview = Profile()
    for tables, origin in [(below, ""), *above]:
        preview.lay(tables, origin)
    profile = Profile()
    origin = base.stem if base else ""
    profile.lay(below, origin)
    for name, cases in conditional.items():
        value = str(preview.parameters.get(name))
        profile.lay(cases.get(value, {}), f"{origin}, for {name}={value}")
    for tables, origin in above:
        profile.lay(tables, origin)
    if checked:
        profile.check()
    return profile


def find_profile(name: str) -> Path:
    """Return the file of a shipped profile, by its name."""
    names = [path.stem for path in PROFILES.glob("*.toml")]
    if name not in names:
        raise ConfigError(unknown_name(f"--profile {name}", "profile", name, names))
    return PROFILES / f"{name}.toml"


def _assignment(text: str) -> dict[str, dict[str, Any]]:
    name, equals, value = text.partition("=")
    table, dot, knob = name.strip().partition(".")
    if not (equals and dot):
        raise ConfigError(f"--set {text!r}: not an assignment", "write --set stage.knob=value")
    return {table: {knob: value}}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from None
    except ValueError as error:  # of TOML or of UTF-8
        raise ConfigError(f"config file {path}: not TOML ({error})") from None


def _check_tables(tables: Mapping[str, Any], origin: str) -> None:
    """Refuse what no stage could read: unknown tables, and parameters that the stages must agree
    on."""
    known = parameters()
    for table, values in tables.items():
        if table not in (PIPELINE, *STAGES):
            known_tables = (PIPELINE, *STAGES)
            raise ConfigError(unknown_name(f"{origin}: {table}", "stage", table, known_tables))
        if not isinstance(values, dict):
            raise ConfigError(f"{origin}: {table} must be a table", f"write [{table}]")
        for name in values:
            if table == PIPELINE and name not in known:
                raise ConfigError(unknown_name(f"{origin}: {name}", "parameter", name, known))
            if (
                table != PIPELINE
                and name != "seed"
                and len(owners(name)) > 1
                and table in owners(name)
            ):
                flag = "--" + name.replace("_", "-")
                raise ConfigError(
                    f"{origin}: {table}.{name} goes to {', '.join(owners(name))} alike",
                    f"set it for the whole pipeline: {flag}, or [pipeline] in a file",
                )
