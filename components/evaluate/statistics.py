"""Is a difference more than chance? Paired by example, counted by paper: examples of one paper are not independent.

A percentile bootstrap over a handful of papers is too narrow, so two methods make an interval and the wider one counts
at each end: Student's t with the cluster-robust CR2 error and its Bell-McCaffrey degrees of freedom (Bell and McCaffrey
2002; Imbens and Kolesár 2016), which holds with few papers of unequal size, and the bootstrap over papers, which sees
skew. `python -m components.evaluate.simulate` measures how often equal systems pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAIRED_SPREAD = 0.077  # of paired ROUGE-L differences on a published dataset of 2,429 triples
POWER = 0.8  # of the smallest detectable gain
BATCH = 500  # resamples at a time, which bounds memory: BATCH x papers numbers
UNIT = (
    2.0**40
)  # differences are summed as whole multiples of 1/UNIT: no order of adding changes a bit
DECIMALS = 9  # of the reported figures: libraries may differ in the last bits of a quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The mean of tuned - other over all examples, and how sure it is."""

    other: str
    difference: float
    low: float  # the interval at the rules' confidence, for reading
    high: float
    floor: float  # the lower bound at this run's share of the year's error: the one that decides
    standard_error: float  # clustered by paper
    freedom: float  # degrees of freedom of that error
    p_value: float  # two-sided, by approximate randomisation: papers change sides (exact where all ways are tried)
    detectable: float  # the smallest true gain whose interval clears zero in 80% of runs
    detectable_deciding: float  # the same for the floor
    papers_won: float  # share of papers whose mean favours tuned
    examples: int
    papers: int


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
    """Compare by paired differences (tuned - other), one for each example; `papers` names each example's paper.

    `level` is the one-sided error of the floor. Raises ValueError for fewer than two papers.
    """
    names, clusters = np.unique(np.asarray(papers), return_inverse=True)
    if len(names) < 2:
        raise ValueError("a comparison over papers needs at least two papers")
    whole = np.rint(np.asarray(differences, dtype=np.float64) * UNIT)
    sums = np.bincount(clusters, weights=whole).astype(
        np.float64
    )  # whole numbers, exact up to 2**53
    sizes = np.bincount(clusters).astype(np.float64)
    mean = float(sums.sum() / sizes.sum() / UNIT)
    error, freedom = cluster_error(sums / UNIT, sizes)
    tail = (1 - confidence) / 2
    floor, low, high = bounds(
        sums / UNIT, sizes, (level, tail, 1 - tail), resamples=resamples, seed=seed
    )
    figures = {
        "difference": mean,
        "low": low,
        "high": high,
        "floor": floor,
        "standard_error": error,
        "freedom": freedom,
        "p_value": _randomisation_p(sums, resamples, seed),
        "detectable": detectable_gain(error, freedom, tail),
        "detectable_deciding": detectable_gain(error, freedom, level),
        "papers_won": float(np.mean(sums > 0)),
    }
    rounded = {name: round(figure, DECIMALS) for name, figure in figures.items()}
    return Comparison(other=other, examples=len(whole), papers=len(names), **rounded)


def bounds(
    sums: Floats, sizes: Floats, levels: Sequence[float], *, resamples: int = 10_000, seed: int = 42
) -> list[float]:
    """Return a bound of the mean over examples at each one-sided level: the outer one of both methods.

    `sums` and `sizes` hold the total and the number of examples of each paper, shape (papers,).
    """
    mean = sums.sum() / sizes.sum()
    error, freedom = cluster_error(sums, sizes)
    resampled = np.quantile(_resampled_means(sums, sizes, resamples, seed), levels)
    return [
        (min if at < 0.5 else max)(float(mean + student(at, freedom) * error), float(bound))
        for at, bound in zip(levels, resampled, strict=True)
    ]


def student(quantile: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution."""
    from scipy.stats import t

    return float(t.ppf(quantile, freedom))


def detectable_gain(error: float, freedom: float, level: float) -> float:
    """Return the true gain that a one-sided test at `level` finds with a power of 80%."""
    return (student(1 - level, freedom) + student(POWER, freedom)) * error


def planned_gain(examples: int, papers: int, level: float) -> float:
    """Return the true gain that a test set of this size should find, before anything is known of the systems.

    It supposes that paired differences spread by PAIRED_SPREAD, independently.
    """
    gain = detectable_gain(PAIRED_SPREAD / examples**0.5, papers - 1, level)
    return round(gain, DECIMALS)


def cluster_error(sums: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the CR2 standard error of the mean over examples, and its degrees of freedom."""
    return float(cr2_errors(sums[None, :], sizes)[0]), degrees_of_freedom(sizes)


def cr2_errors(sums: Floats, sizes: Floats) -> Floats:
    """Return the CR2 standard error of each row of `sums`, shape (runs, papers)."""
    total = sizes.sum()
    residuals = sums - sums.sum(axis=1, keepdims=True) / total * sizes
    errors: Floats = np.sqrt((np.square(residuals) / (1 - sizes / total)).sum(axis=1)) / total
    return errors


def degrees_of_freedom(sizes: Floats) -> float:
    """Return the Bell-McCaffrey degrees of freedom of a mean over papers of these sizes: papers - 1 for equal ones.

    They depend on how alike the examples of a paper are; the smaller of both extremes (nothing in common, all in
    common) is taken.
    """
    total = sizes.sum()
    weights = 1 / np.sqrt(1 - sizes / total)
    scaled = sizes * weights
    independent = np.diag(sizes * weights**2) - np.outer(scaled, scaled) / total
    loadings = np.diag(scaled) - np.outer(scaled, sizes) / total
    models = independent, loadings @ loadings.T
    return float(min(np.trace(model) ** 2 / np.square(model).sum() for model in models))


def _resampled_means(sums: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Return means over the examples of papers drawn with replacement, shape (resamples,)."""
    from scipy.stats import bootstrap

    def mean(sums: Floats, sizes: Floats, axis: int = -1) -> Floats:
        means: Floats = sums.sum(axis=axis) / sizes.sum(axis=axis)
        return means

    found = bootstrap(
        (sums, sizes),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    distribution: Floats = found.bootstrap_distribution
    return distribution


def _randomisation_p(sums: Floats, resamples: int, seed: int) -> float:
    """Return how often papers that change sides at random differ as much as these do; all ways are tried when few."""
    from scipy.stats import permutation_test

    def total(sums: Floats, axis: int = -1) -> Floats:
        totals: Floats = sums.sum(axis=axis)
        return totals

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
