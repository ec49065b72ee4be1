"""The base of every stage's config: one source of defaults, of validation and of help.

A knob is one field declared with `knob(...)`. Knobs marked `exposed` are also parameters of the pipeline; all
others keep their default unless a config file (or `--set stage.knob=value`) says otherwise.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from components.shared.errors import ConfigError


def knob(
    default: Any,
    help: str,
    *,
    exposed: bool = False,
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Declare one documented, validated setting."""
    return dataclasses.field(
        default=default,
        metadata={"help": help, "exposed": exposed, "choices": choices, "low": low, "high": high},
    )


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Settings that every stage has; a stage's own config adds to them."""

    stage: ClassVar[str] = ""

    store: str = knob(
        "s3://arxtune", "what outlives a run: s3://bucket/prefix, or a folder", exposed=True
    )
    seed: int = knob(42, "seed of everything random", exposed=True, low=0)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(self.stage, field, getattr(self, field.name))

    @classmethod
    def knobs(cls, *, exposed_only: bool = False) -> dict[str, "dataclasses.Field[Any]"]:
        """Return the fields by name."""
        return {
            f.name: f for f in dataclasses.fields(cls) if f.metadata["exposed"] or not exposed_only
        }

    @classmethod
    def build(cls, *layers: Mapping[str, Any]) -> Self:
        """Build the config from mappings, later ones winning; raise ConfigError for an unknown knob or bad value."""
        known = cls.knobs()
        values: dict[str, Any] = {}
        for layer in layers:
            for name, value in layer.items():
                if name not in known:
                    near = get_close_matches(name, known, 1)
                    raise ConfigError(
                        f"{cls.stage}.{name}: there is no such setting",
                        f"did you mean {near[0]!r}?"
                        if near
                        else f"known: {', '.join(sorted(known))}",
                    )
                values[name] = convert(f"{cls.stage}.{name}", value, known_types(cls)[name])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-ready mapping."""
        return dataclasses.asdict(self)


def known_types(cls: type[StageConfig]) -> dict[str, Any]:
    """Return the type of each knob."""
    hints = typing.get_type_hints(cls)
    return {name: hints[name] for name in cls.knobs()}


def convert(name: str, value: Any, wanted: Any) -> Any:
    """Turn text from a command line, or a number from JSON, into the type of the knob `name`."""
    if isinstance(
        wanted, types.GenericAlias
    ):  # tuple[str, ...]: a list, or text separated by commas
        items = value.split(",") if isinstance(value, str) else list(value)
        return tuple(str(item).strip() for item in items if str(item).strip())
    try:
        if wanted is bool and isinstance(value, str):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                value.lower()
            ]
        if wanted is int and (isinstance(value, bool) or int(value) != float(value)):
            raise ValueError
        if wanted is bool and not isinstance(value, bool):
            raise ValueError
        return wanted(value)
    except (ValueError, TypeError, KeyError):
        article = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise ConfigError(
            f"{name}={value!r}: must be {article.get(wanted.__name__, wanted.__name__)}"
        ) from None


def _check(stage: str, field: "dataclasses.Field[Any]", value: Any) -> None:
    asked, meta = f"{stage}.{field.name}={value!r}", field.metadata
    if meta["choices"] and value not in meta["choices"]:
        raise ConfigError(f"{asked}: must be one of {', '.join(map(str, meta['choices']))}")
    if meta["low"] is not None and value < meta["low"]:
        raise ConfigError(f"{asked}: must be at least {meta['low']}")
    if meta["high"] is not None and value > meta["high"]:
        raise ConfigError(f"{asked}: must be at most {meta['high']}")
