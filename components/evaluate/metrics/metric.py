"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure for one answer; the mean over the test examples is reported."""

    name: str
    unit: str  # of the mean, for people
    higher_is_better: bool
    function: Callable[[str, str], float]  # of reference and answer
