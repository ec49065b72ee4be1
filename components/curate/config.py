"""The knobs of the curate stage."""

from datetime import date
from typing import ClassVar, Self

from pydantic import model_validator

from components.shared.config import WithForecast, WithOwnPapers, WithSeed, WithStore, knob
from components.shared.errors import ConfigError
from components.shared.feasibility import VerdictNeeds
from components.shared.grounding import GROUNDED
from components.shared.licences import OPEN, OPT_INS, allowed_names


class CurateConfig(WithStore, WithSeed, WithForecast, WithOwnPapers):
    """What may be trained on, and what is held out."""

    stage: ClassVar[str] = "curate"

    allow_licences: str = knob(
        "open",
        f"licences to train on, by comma: open ({', '.join(OPEN)}) or any of {', '.join(OPT_INS)}",
        exposed=True,
    )
    base_model: str = knob(
        "meta-llama/Meta-Llama-3-8B",
        "hub id or folder of a causal language model; 'tiny' is a small Llama made on the spot",
        exposed=True,
    )
    own_teacher: str = knob("", "model that wrote the triples of a file whose rows name no teacher")
    paper_column: str = knob("", "field of one's own rows that names their paper, if not 'paper'")
    corpus_rows: int = knob(5000, "rows to train on at most, of the newest papers first", low=1)
    test_papers: int = knob(100, "test on the newest so many papers of the test side", low=2)
    test_rows: int = knob(1000, "test on so many rows at most", low=1)
    test_rows_per_paper: int = knob(40, "test on so many rows of one paper at most", low=1)
    test_fraction: float = knob(0.2, "share of papers held out for the test", low=0.01, high=0.9)
    learned_fraction: float = knob(
        0.25,
        "share of the closed-book facts of training papers held out, to see what is learned",
        low=0,
        high=0.9,
    )
    test_after: str = knob("", "YYYY-MM-DD: split by time; papers from this day on are the test")
    embargo_days: int = knob(30, "papers from so many days before test_after are left out", low=0)
    max_overlap: float = knob(
        0.0, "highest share of a test row's 8-grams that may stand in train", low=0, high=1
    )
    near_duplicate: float = knob(
        0.8, "Jaccard similarity of 3-grams from which triples are duplicates", low=0.5, high=1
    )
    min_grounding: float = knob(
        GROUNDED, "lowest share of an output's words that must stand in its evidence", low=0, high=1
    )
    min_tokens: int = knob(5, "shortest triple, in estimated tokens of its three texts", low=1)
    max_tokens: int = knob(2048, "longest triple, in estimated tokens of its three texts", low=16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.test_after:
            try:
                date.fromisoformat(self.test_after)
            except ValueError:
                problem = f"curate.test_after={self.test_after!r}: must be a day, YYYY-MM-DD"
                raise ConfigError(problem) from None
        if unknown := ", ".join(sorted(self.allowed - {*OPT_INS})):
            problem = f"allow_licences={self.allow_licences!r}: there is no licence {unknown}"
            raise ConfigError(problem, f"known: open, {', '.join(OPT_INS)}")
        return self

    @property
    def allowed(self) -> frozenset[str]:
        """Return the names of the licences that are let in."""
        return allowed_names(self.allow_licences)

    @property
    def needs(self) -> VerdictNeeds:
        """Return what a verdict needs, and the share of papers that is tested on."""
        return VerdictNeeds(test_fraction=self.test_fraction)
