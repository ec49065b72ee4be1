"""The base of every stage's config: one source of defaults, of validation and of help.

A knob is one field declared with `knob(...)`; pydantic converts and validates it. Knobs marked
`exposed` are also parameters of the pipeline; all others keep their default unless a config file or
`--set stage.knob=value` says otherwise.
"""

import typing
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic.fields import FieldInfo

from components.shared.errors import ConfigError


def knob(
    default: Any,
    help: str,
    *,
    exposed: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Declare one documented setting, with its bounds; a choice is a field of type `Literal`."""
    extra: dict[str, JsonValue] = {"exposed": exposed}
    return Field(default, description=help, ge=low, le=high, json_schema_extra=extra)


# What pydantic's error types, by their first word, ask for.
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "greater": "at least {ctx[ge]}",
    "less": "at most {ctx[le]}",
}


class StageConfig(BaseModel):
    """The settings of a stage; text from a command line is converted, numbers are finite."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        str_strip_whitespace=True,
    )
    stage: ClassVar[str] = ""

    def __init__(self, **knobs: Any) -> None:
        """Validate the knobs; raise ConfigError with all that is wrong in them."""
        try:
            super().__init__(**knobs)
        except ValidationError as error:
            problems = [self._problem(found) for found in error.errors()]
            raise ConfigError("; ".join(problems)) from None

    @classmethod
    def knobs(cls, *, exposed_only: bool = False) -> dict[str, FieldInfo]:
        """Return the fields by name."""
        fields = cls.model_fields
        return {
            name: fields[name] for name in fields if not exposed_only or is_exposed(fields[name])
        }

    @classmethod
    def default(cls, name: str) -> Any:
        """Return the default of one knob."""
        return cls.model_fields[name].default

    @classmethod
    def build(cls, *layers: Mapping[str, Any]) -> Self:
        """Build the config from mappings, later ones winning."""
        values: dict[str, Any] = {}
        for layer in layers:
            values.update(layer)
        return cls(**{**cls.implied(values), **values})

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the defaults that depend on other values, or on this machine."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-ready mapping."""
        return self.model_dump()

    def changed(self, **knobs: Any) -> Self:
        """Return a copy with other values for some knobs, validated like the first ones."""
        return type(self).build(self.to_dict(), knobs)

    @field_validator("*", mode="before")
    @classmethod
    def _convert(cls, value: Any, info: Any) -> Any:
        """Take lists and choices as a command line writes them; true and false are no numbers."""
        wanted = cls.model_fields[info.field_name].annotation
        origin = typing.get_origin(wanted)
        if origin is tuple and isinstance(value, str):
            return tuple(filter(None, map(str.strip, value.split(","))))
        if origin is typing.Literal:
            choices = {str(choice): choice for choice in typing.get_args(wanted)}
            return choices.get(str(value).strip(), value)
        if wanted in (int, float) and isinstance(value, bool):
            raise ValueError("a whole number" if wanted is int else "a number")
        return value

    @classmethod
    def _problem(cls, error: Any) -> str:
        name = str(error["loc"][0])
        if error["type"] == "extra_forbidden":
            return unknown_name(f"{cls.stage}.{name}", "setting", name, cls.model_fields)
        kind = error["type"].split("_")[0]
        if kind in _WANTED:
            wanted = _WANTED[kind].format_map(error)
        elif kind == "literal":
            choices = typing.get_args(cls.model_fields[name].annotation)
            wanted = f"one of {', '.join(map(str, choices))}"
        else:
            wanted = error["msg"].removeprefix("Value error, ")
        return f"{cls.stage}.{name}={error['input']!r}: must be {wanted}"


class WithStore(StageConfig):
    """A stage that reads or writes what outlives a run."""

    store: str = knob(
        "s3://arxtune", "what outlives a run: s3://bucket/prefix, or a folder", exposed=True
    )


class WithSeed(StageConfig):
    """A stage that draws random numbers."""

    seed: int = knob(42, "seed of everything random", exposed=True, low=0, high=2**32 - 1)


class WithForecast(StageConfig):
    """A stage that spends time or money, and first looks whether the run can end in a verdict."""

    train_anyway: bool = knob(
        False,
        "go on where too few papers are in sight for a verdict, instead of ending with status 2",
    )


class WithOwnPapers(StageConfig):
    """A stage to which it matters whether papers are found week by week or are all there."""

    own_papers: bool = knob(
        False, "the papers are a whole set of one's own: no more will come in later runs"
    )


def is_exposed(field: FieldInfo) -> bool:
    """Tell whether a knob is a parameter of the pipeline."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra["exposed"])


def unknown_name(asked: str, kind: str, name: str, known: typing.Iterable[str]) -> str:
    """Say that there is no such name, and which one may have been meant."""
    near = get_close_matches(name, known := sorted(known), 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{asked}: there is no such {kind}; {hint}"
