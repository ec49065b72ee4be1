"""One measured ratio."""

from dataclasses import dataclass, field


@dataclass
class Ratio:
    """`what` names the unit; `ratio` is how many times better ours is."""

    what: str
    reference: float
    ours: float
    less_is_better: bool = False
    ratio: float = field(init=False)

    def __post_init__(self) -> None:
        better, worse = self.ours, self.reference
        if self.less_is_better:
            better, worse = worse, better
        self.ratio = round(better / worse, 3) if worse else 1.0 if better == worse else float("inf")
