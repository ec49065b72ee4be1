"""The report's charts as inline SVG, made of numbers only, so that the template may take them as they are.

Positions are percentages: they fit a phone and a wide screen alike.
"""

import math
from collections.abc import Sequence

from components.evaluate.statistics import Comparison


class Scale:
    """Map a range of values to 0 to 100 percent, with round ticks."""

    def __init__(self, low: float, high: float, ticks: int = 5) -> None:
        span = (high - low) or 1.0
        step = _round_step(span / ticks)
        self.low = math.floor(low / step + 1e-9) * step
        self.high = max(math.ceil(high / step - 1e-9) * step, self.low + step)
        self.ticks = [
            self.low + number * step for number in range(round((self.high - self.low) / step) + 1)
        ]
        self.decimals = max(0, -math.floor(math.log10(step) + 1e-9))

    def at(self, value: float) -> float:
        """Return where a value lies, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)

    def label(self, value: float, sign: bool = False) -> str:
        """Return a tick's label."""
        text = f"{value:{'+' if sign else ''}.{self.decimals}f}"
        return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _round_step(step: float) -> float:
    """Return the smallest of 1, 2, 5 or 10 times a power of ten that is not below `step`."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def difference_scale(comparisons: Sequence[Comparison]) -> Scale:
    """Return the common axis of all differences; zero is always on it."""
    lows = (min(pair.low, pair.floor) for pair in comparisons)
    return Scale(min(0.0, *lows), max(0.0, *(pair.high for pair in comparisons)))


def interval(scale: Scale, pair: Comparison) -> str:
    """Draw one line of the forest plot: interval, mean, the bound that decides, and the line of no difference."""
    kind = "clear" if pair.floor > 0 else "below" if pair.high < 0 else "open"
    low, middle, high = scale.at(pair.low), scale.at(pair.difference), scale.at(pair.high)
    zero, floor = scale.at(0.0), scale.at(pair.floor)
    return (
        f'<svg class="interval {kind}" width="100%" height="26" aria-hidden="true">'
        f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="0" y2="26"/>'
        f'<line class="whisker" x1="{low}%" x2="{high}%" y1="13" y2="13"/>'
        f'<line class="floor" x1="{floor}%" x2="{floor}%" y1="6" y2="20"/>'
        f'<circle cx="{middle}%" cy="13" r="5"/></svg>'
    )


def axis(scale: Scale) -> str:
    """Draw the axis below the forest plot; labels at its ends stay inside."""
    parts = []
    for tick in scale.ticks:
        anchor = {0.0: "start", 100.0: "end"}.get(scale.at(tick), "middle")
        parts.append(f'<line x1="{scale.at(tick)}%" x2="{scale.at(tick)}%" y1="0" y2="5"/>')
        parts.append(
            f'<text x="{scale.at(tick)}%" y="19" text-anchor="{anchor}">{scale.label(tick, sign=True)}</text>'
        )
    line = '<line x1="0%" x2="100%" y1="0.5" y2="0.5"/>'
    return f'<svg class="axis" width="100%" height="24" aria-hidden="true">{line}{"".join(parts)}</svg>'


def curve(points: Sequence[tuple[float, float]], height: int = 200) -> str:
    """Draw y over x with labelled gridlines; the inner drawing stretches, its stroke and the labels do not."""
    across, up = (
        Scale(points[0][0], points[-1][0]),
        Scale(min(0.0, *(y for _, y in points)), max(y for _, y in points)),
    )
    width = (points[-1][0] - points[0][0]) or 1.0
    line = " ".join(
        f"{100 * (x - points[0][0]) / width:.2f},{100 - up.at(y):.2f}" for x, y in points
    )
    grid = "".join(
        f'<line x1="0%" x2="100%" y1="{100 - up.at(tick)}%" y2="{100 - up.at(tick)}%"/>'
        f'<text x="-8" y="{100 - up.at(tick)}%" dy="4" text-anchor="end">{up.label(tick)}</text>'
        for tick in up.ticks
    )
    ends = "".join(
        f'<text x="{place}" y="100%" dy="20" text-anchor="{anchor}">{across.label(x)}</text>'
        for x, place, anchor in ((points[0][0], "0%", "start"), (points[-1][0], "100%", "end"))
    )
    return (
        f'<svg class="curve" width="100%" height="{height}" role="img" aria-label="training loss by step">{grid}{ends}'
        f'<svg viewBox="0 0 100 100" width="100%" height="100%" preserveAspectRatio="none">'
        f'<polyline points="{line}" vector-effect="non-scaling-stroke"/></svg></svg>'
    )
