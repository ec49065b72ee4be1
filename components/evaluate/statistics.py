"""Is a difference more than chance? Paired by example, counted by paper: examples of one paper are
not independent.

The bound that decides is Student's t with the cluster-robust CR2 error and its Bell-McCaffrey
degrees of freedom (Bell and McCaffrey 2002; Imbens and Kolesár 2016), made safe against what a
few papers do not show:

- the error is never below that of independent examples;
- a skew to the left moves it down (Hall 1992, "On the removal of skewness by transformation");
- under a strong skew, papers may be as skewed as examples are without having shown it: they are
  then supposed to share SHARED_AT_LEAST of the variance;
- a loss so rare that no example shows it may still be there: with n examples none of a kind with a
  share of -ln(level)/n is missed with a chance above `level`, and it is supposed to cost
    HIDDEN_LOSS.

`python -m tools.simulate_verdicts` measures how often candidates that are no better pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.shared.verdict import Comparison

POWER = 0.8  # of the smallest detectable gain
STRONG_SKEW = -1.0
SHARED_AT_LEAST = 0.2  # of the variance, by the examples of a paper, where the skew is strong
HIDDEN_LOSS = 0.6  # points of the metric: about what an answer loses that turns worthless
BATCH = 500  # permutations at a time, which bounds memory: BATCH x papers numbers
DECIMALS = 9  # of the reported figures: libraries may differ in the last bits of a quantile
TINY = 1e-12  # in place of a spread of zero

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How paired differences spread; `shared` is the part that papers have in common."""

    deviation: float
    shared: float


CAUTIOUS = Spread(deviation=0.13, shared=0.2)  # where nothing has been measured yet


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """The differences of one test set or many, as far as the bound needs them.

    `sums` and `sizes`: total and number of examples of each paper, shape (runs, papers); `squares`
    and `cubes`: sums over all examples of the second and third powers, shape (runs,).
    """

    sums: Floats
    sizes: Floats
    squares: Floats
    cubes: Floats

    @property
    def examples(self) -> Floats:
        """Return the number of examples of each run."""
        return np.asarray(self.sizes.sum(axis=1))

    @property
    def means(self) -> Floats:
        """Return the mean over the examples of each run."""
        return np.asarray(self.sums.sum(axis=1) / self.examples)


def interval(differences: Sequence[float], papers: Sequence[str], confidence: float) -> Interval:
    """Return the mean of differences and its interval, by paper; two papers at least."""
    sample, tail = summed(differences, papers), (1 - confidence) / 2
    mean = float(sample.means[0])
    low = mean - float(t_margins(sample, tail)[0])
    high = mean + float(t_margins(mirrored(sample), tail)[0])
    return Interval(*(round(figure, DECIMALS) for figure in (mean, low, high)))


def compare(
    other: str,
    differences: Sequence[float],
    papers: Sequence[str],
    *,
    confidence: float = 0.95,
    level: float = 0.025,
    resamples: int = 10_000,
    seed: int = 42,
) -> Comparison:
    """Compare by paired differences (tuned - other), one for each example; `papers` names each
    example's paper.

    `level` is the one-sided error of the floor. Raises ValueError for fewer than two papers.
    """
    sample = summed(differences, papers)
    count = sample.sizes.shape[1]
    if count < 2:
        raise ValueError("a comparison over papers needs at least two papers")
    found = interval(differences, papers, confidence)
    error = float(errors(sample)[0])
    freedom = float(degrees_of_freedom(sample.sizes)[0])
    spread = measured_spread(sample)
    margin = float(margins(sample, level)[0])
    figures = {
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "floor": float(sample.means[0]) - margin,
        "standard_error": error,
        "freedom": freedom,
        "deviation": spread.deviation,
        "shared": spread.shared,
        "p_value": _randomisation_p(sample.sums[0], resamples, seed),
        "detectable": min(1.0, margin + float(student(POWER, freedom)) * error),
        "papers_won": float(np.mean(sample.sums > 0)),
    }
    rounded = {name: round(figure, DECIMALS) for name, figure in figures.items()}
    return Comparison(other=other, examples=len(differences), papers=count, **rounded)


def summed(differences: Sequence[float], papers: Sequence[str]) -> Sample:
    """Return the sample of one run."""
    by_paper: dict[str, list[float]] = {}
    for difference, paper in zip(differences, papers, strict=True):
        by_paper.setdefault(paper, []).append(difference)
    groups = [by_paper[paper] for paper in sorted(by_paper)]
    return Sample(
        sums=np.array([[math.fsum(group) for group in groups]]),
        sizes=np.array([[float(len(group)) for group in groups]]),
        squares=np.array([math.fsum(value**2 for value in differences)]),
        cubes=np.array([math.fsum(value**3 for value in differences)]),
    )


def mirrored(sample: Sample) -> Sample:
    """Return the sample of other - tuned."""
    return Sample(-sample.sums, sample.sizes, sample.squares, -sample.cubes)


def margins(sample: Sample, level: Floats | float) -> Floats:
    """Return how far below the mean the floor of each run lies, at a one-sided error of `level`."""
    hidden = -HIDDEN_LOSS * np.log(level) / sample.examples
    return np.maximum(t_margins(sample, level), hidden)


def t_margins(sample: Sample, level: Floats | float) -> Floats:
    """Return the margin of each run without what may be too rare to show."""
    quantile = student(1 - level, degrees_of_freedom(sample.sizes))
    count = sample.examples
    deviation, skew = _moments(sample)
    error = np.maximum(errors(sample), np.maximum(deviation, TINY) / np.sqrt(count))
    third = skew * deviation**3
    margin = _corrected(quantile, error, third / count**2)
    twos, threes = ((sample.sizes**power).sum(axis=1) / count**power for power in (2, 3))
    rest = 1 - SHARED_AT_LEAST
    supposed = np.maximum(deviation, TINY) * np.sqrt(SHARED_AT_LEAST * twos + rest / count)
    shared_third = third * (SHARED_AT_LEAST**1.5 * threes + rest**1.5 / count**2)
    cautious = np.maximum(margin, _corrected(quantile, supposed, shared_third))
    return np.where(skew < STRONG_SKEW, cautious, margin)


def _corrected(quantile: Floats, error: Floats, third: Floats) -> Floats:
    """Return the margin of a mean with this error and third central moment."""
    skew = np.minimum(third / error**3, 0.0)
    return np.asarray(error * (quantile - skew * (2 * quantile**2 + 1) / 6))


def _moments(sample: Sample) -> tuple[Floats, Floats]:
    """Return standard deviation and skewness of the examples' differences in each run."""
    count, mean = sample.examples, sample.means
    second = np.maximum(sample.squares - count * mean**2, 0.0)
    third = sample.cubes - 3 * mean * sample.squares + 2 * count * mean**3
    deviation = np.sqrt(second / (count - 1))
    return deviation, third / count / np.maximum(deviation, TINY) ** 3


def student(quantile: Floats | float, freedom: Floats | float) -> Floats:
    """Return quantiles of Student's t distribution."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, quantile))


def planned_gain(sizes: Sequence[int], level: float, spread: Spread = CAUTIOUS) -> float:
    """Return the true gain that a test set with papers of these sizes should find."""
    counts = np.asarray([sizes], dtype=np.float64)
    total = float(counts.sum())
    by_paper = spread.shared * float((counts**2).sum()) / total**2
    error = spread.deviation * math.sqrt(by_paper + (1 - spread.shared) / total)
    freedom = float(degrees_of_freedom(counts)[0])
    margin = max(float(student(1 - level, freedom)) * error, -HIDDEN_LOSS * math.log(level) / total)
    return round(min(1.0, margin + float(student(POWER, freedom)) * error), DECIMALS)


def measured_spread(sample: Sample) -> Spread:
    """Return how the differences of one run spread; the share by analysis of variance, 0 to 1."""
    sums, sizes = sample.sums[0], sample.sizes[0]
    total, papers = sizes.sum(), len(sizes)
    within = float(sample.squares[0] - (sums**2 / sizes).sum())
    between = float((sums**2 / sizes).sum() - sums.sum() ** 2 / total)
    deviation, _ = _moments(sample)
    if total <= papers or within + between < TINY:
        return Spread(float(deviation[0]), 0.0)
    inside, across = within / (total - papers), between / (papers - 1)
    size = (total - (sizes**2).sum() / total) / (papers - 1)
    common = max(0.0, (across - inside) / size)
    return Spread(float(deviation[0]), float(common / (common + inside)))


def errors(sample: Sample) -> Floats:
    """Return the CR2 standard error of each run's mean."""
    sizes, total = sample.sizes, sample.examples[:, None]
    residuals = sample.sums - sample.means[:, None] * sizes
    weighted = np.square(residuals) / (1 - sizes / total)
    return np.asarray(np.sqrt(weighted.sum(axis=1)) / total[:, 0])


def degrees_of_freedom(sizes: Floats) -> Floats:
    """Return the Bell-McCaffrey degrees of freedom of means over papers of these sizes: papers - 1
    for equal ones.

    They depend on how alike the examples of a paper are; the smaller of both extremes (nothing in
    common, all in common) is taken. `sizes` has the shape (runs, papers).
    """
    total = sizes.sum(axis=1, keepdims=True)
    scaled = sizes / np.sqrt(1 - sizes / total)  # s: n times its weight
    squares = scaled**2
    # independent examples: diag(n w^2) - s s' / N
    diagonal = scaled**2 / sizes - squares / total
    off = (squares.sum(axis=1) ** 2 - (squares**2).sum(axis=1)) / total[:, 0] ** 2
    independent = diagonal.sum(axis=1) ** 2 / (off + (diagonal**2).sum(axis=1))
    # all in common: diag(s^2) + s_i s_j (sum(n^2) / N^2 - (n_i + n_j) / N)
    share = (sizes**2).sum(axis=1, keepdims=True) / total**2
    own = squares * (share - 2 * sizes / total)
    zeroth, first, second = ((squares * sizes**power).sum(axis=1) for power in (0, 1, 2))
    share, total = share[:, 0], total[:, 0]
    crossed = share**2 * zeroth**2 - 4 * share / total * zeroth * first
    crossed += 2 * (second * zeroth + first**2) / total**2
    crossed += ((squares + own) ** 2 - own**2).sum(axis=1)
    common = (squares + own).sum(axis=1) ** 2 / crossed
    return np.asarray(np.minimum(independent, common))


def _randomisation_p(sums: Floats, resamples: int, seed: int) -> float:
    """Return how often papers that change sides at random differ as much."""
    from scipy.stats import permutation_test

    def total(sums: Floats, axis: int = -1) -> Floats:
        return np.asarray(sums.sum(axis=axis))

    found = permutation_test(
        (sums,),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
