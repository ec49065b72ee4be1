"""The report's charts as inline SVG, made of numbers only, so that the template may take them as
they are.

Positions are percentages: they fit a phone and a wide screen alike.
"""

import math
from collections.abc import Sequence

from components.shared.verdict import Comparison


class Scale:
    """Map a range of values to 0 to 100 percent, with round ticks."""

    def __init__(self, low: float, high: float, ticks: int = 5) -> None:
        span = (high - low) or 1.0
        step = _round_step(span / ticks)
        self.low = math.floor(low / step + 1e-9) * step
        self.high = max(math.ceil(high / step - 1e-9) * step, self.low + step)
        count = round((self.high - self.low) / step)
        self.ticks = [self.low + number * step for number in range(count + 1)]
        self.decimals = max(0, -math.floor(math.log10(step) + 1e-9))

    def at(self, value: float) -> float:
        """Return where a value lies, in percent; what lies outside is drawn at the edge."""
        place = 100 * (value - self.low) / (self.high - self.low)
        return round(min(max(place, 0.0), 100.0), 3)

    def label(self, value: float, sign: bool = False) -> str:
        """Return a tick's label."""
        text = f"{value:{'+' if sign else ''}.{self.decimals}f}"
        return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _round_step(step: float) -> float:
    """Return the smallest of 1, 2, 5 or 10 times a power of ten that is not below `step`."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def difference_scale(pairs: Sequence[Comparison]) -> Scale:
    """Return the common axis of all differences of a metric from 0 to 1; zero is always on it."""
    low = min(0.0, *(min(pair.low, pair.floor) for pair in pairs))
    high = max(0.0, *(pair.high for pair in pairs))
    return Scale(max(low, -1.0), min(high, 1.0))


def interval(scale: Scale, pair: Comparison) -> str:
    """Draw a line of the forest plot: interval, mean, deciding bound and zero."""
    kind = "open"
    if pair.floor > 0:
        kind = "clear"
    elif pair.high < 0:
        kind = "below"
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
    parts = ['<line x1="0%" x2="100%" y1="0.5" y2="0.5"/>']
    for tick in scale.ticks:
        place = scale.at(tick)
        anchor = {0.0: "start", 100.0: "end"}.get(place, "middle")
        parts.append(f'<line x1="{place}%" x2="{place}%" y1="0" y2="5"/>')
        label = scale.label(tick, sign=True)
        parts.append(f'<text x="{place}%" y="19" text-anchor="{anchor}">{label}</text>')
    return f'<svg class="axis" width="100%" height="24" aria-hidden="true">{"".join(parts)}</svg>'


def curve(points: Sequence[tuple[float, float]], height: int = 200) -> str:
    """Draw y over x with labelled gridlines; only the line itself is stretched."""
    first, last = points[0][0], points[-1][0]
    heights = [y for _, y in points]
    across, up = Scale(first, last), Scale(min(0.0, *heights), max(heights))
    width = (last - first) or 1.0
    line = " ".join(f"{100 * (x - first) / width:.2f},{100 - up.at(y):.2f}" for x, y in points)
    parts = []
    for tick in up.ticks:
        y = f"{100 - up.at(tick)}%"
        parts.append(f'<line x1="0%" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="-8" y="{y}" dy="4" text-anchor="end">{up.label(tick)}</text>')
    for x, place, anchor in ((first, "0%", "start"), (last, "100%", "end")):
        label = across.label(x)
        parts.append(f'<text x="{place}" y="100%" dy="20" text-anchor="{anchor}">{label}</text>')
    return (
        f'<svg class="curve" width="100%" height="{height}" role="img" '
        f'aria-label="training loss by step">{"".join(parts)}'
        '<svg viewBox="0 0 100 100" width="100%" height="100%" preserveAspectRatio="none">'
        f'<polyline points="{line}" vector-effect="non-scaling-stroke"/></svg></svg>'
    )
