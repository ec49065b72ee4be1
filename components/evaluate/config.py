"""The knobs of the evaluate stage."""

import math
from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import field_validator

from components.shared.bases import tuned_on_cpu
from components.shared.config import WithSeed, WithStore, knob
from components.shared.feasibility import VerdictNeeds
from components.shared.names import safe_name
from components.shared.records import Adapter

NEEDS = VerdictNeeds()


class EvaluateConfig(WithStore, WithSeed):
    """What the tuned model has to beat, and how sure we want to be."""

    stage: ClassVar[str] = "evaluate"

    release: str = knob(
        "arxtune", "name of the release: its latest version is the champion to beat", exposed=True
    )
    max_new_tokens: int = knob(
        0, "longest answer, in tokens; 0 is 256, or 48 for a real base on a CPU", low=0
    )
    batch_size: int = knob(32, "prompts answered at the same time", low=1)
    quantisation: Literal["auto", "nf4", "none"] = knob(
        "auto",
        "how the base is loaded; auto is nf4 on CUDA and none elsewhere",
    )
    resamples: int = knob(10_000, "ways to change sides that the p-value draws", low=1_000)
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999)
    kept_margin: float = knob(
        0.1,
        "nats a token that general text may get harder for the tuned model of a real base",
        low=0,
        high=10,
    )
    year_error: float = knob(
        0.05, "chance that a year's runs promote a model that is no better", low=1e-6, high=0.5
    )
    looks_per_year: int = knob(
        10,
        "how sharp one verdict is: it spends one share of so many of the error left in 365 days",
        low=1,
    )
    min_test_examples: int = knob(
        NEEDS.test_examples,
        "fewer test examples than this are too little data for a verdict",
        low=1,
    )
    min_test_papers: int = knob(
        NEEDS.test_papers, "fewer test papers than this are too little data for a verdict", low=2
    )
    examples_shown: int = knob(
        12, "answers shown in the report: a third each of best, worst and random ones", low=0
    )

    max_examples: int = knob(
        -1,
        "test examples used at most, spread over the papers; 0 means all; -1 is all, or 60 for a "
        "real base on a CPU",
        low=-1,
    )

    base_cutoff: str = knob(
        "", "YYYY-MM-DD, the last day of what the base has read; empty is what its card says"
    )
    leave_out_older: bool = knob(
        False, "leave out test papers that the base may have read, instead of marking them"
    )

    @property
    def sample(self) -> int:
        """Return how many closed-book questions of a kind are asked, at most; 0 is all.

        Half of max_examples. Losses alone are measured on half of these, so that all passes for
        the loss take less than a third of an evaluation.
        """
        return math.ceil(max(self.max_examples, 0) / 2)

    def settled(self, adapter: Adapter) -> Self:
        """Return the config with the limits that it leaves to the base and to this machine."""
        slow = not adapter.base_path and tuned_on_cpu(adapter.base)
        limits = {"max_new_tokens": 48, "max_examples": 60} if slow else {"max_new_tokens": 256}
        if self.max_new_tokens:
            limits["max_new_tokens"] = self.max_new_tokens
        if self.max_examples >= 0:
            limits["max_examples"] = self.max_examples
        return self.changed(**limits)

    @field_validator("base_cutoff")
    @classmethod
    def _is_day(cls, value: str) -> str:
        try:
            return value and date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError("a day, YYYY-MM-DD") from None

    @field_validator("release")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return safe_name(value, "evaluate.release")
