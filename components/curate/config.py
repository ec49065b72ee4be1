"""The knobs of the curate stage."""

from dataclasses import dataclass
from typing import ClassVar

from components.curate.licence import LICENCES, OPEN
from components.shared.config import StageConfig, knob
from components.shared.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CurateConfig(StageConfig):
    """What may be trained on, and what is held out."""

    stage: ClassVar[str] = "curate"

    allow_licences: str = knob(
        "open",
        f"paper licences to train on, by comma: open (that is {', '.join(OPEN)}) or any of {', '.join(LICENCES)}",
        exposed=True,
    )
    test_fraction: float = knob(0.2, "share of papers held out for the test", low=0.01, high=0.9)
    min_grounding: float = knob(0.5, "lowest share of an output's words that must stand in its evidence", low=0, high=1)
    max_words: int = knob(1_000, "longest triple, in words of instruction, input and output", low=10)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = self.allowed - {*LICENCES}
        if unknown:
            raise ConfigError(
                f"allow_licences={self.allow_licences!r}: there is no licence {', '.join(sorted(unknown))}",
                f"known: open, {', '.join(LICENCES)}",
            )

    @property
    def allowed(self) -> frozenset[str]:
        """Return the names of the licences that are let in."""
        names = {name.strip() for name in self.allow_licences.split(",") if name.strip()}
        return frozenset((names - {"open"}) | (set(OPEN) if "open" in names else set()))
