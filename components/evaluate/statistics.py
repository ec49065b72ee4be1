"""Is a difference more than chance? Paired, and resampled by paper: examples of one paper are not independent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

POWER = 0.8  # of the minimum detectable effect
CHUNK = 500  # resamples at a time, which bounds memory: CHUNK x papers numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The mean of tuned - other over all examples, with its percentile interval over papers."""

    other: str
    difference: float
    low: float
    high: float
    standard_error: float  # clustered by paper
    detectable: float  # the smallest true gain that such a test finds with a power of 80%
    papers_won: float  # share of papers whose mean favours tuned
    examples: int
    papers: int


def compare(
    other: str,
    differences: Sequence[float],
    papers: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 42,
) -> Comparison:
    """Compare by paired differences (tuned - other), one for each example; `papers` names each example's paper."""
    values = np.asarray(differences, dtype=np.float64)
    names, clusters = np.unique(np.asarray(papers), return_inverse=True)
    if len(names) < 2:
        raise ValueError("a bootstrap over papers needs at least two papers")
    sums = np.bincount(clusters, weights=values).astype(np.float64)
    sizes = np.bincount(clusters).astype(np.float64)
    means = np.concatenate(list(_resampled_means(sums, sizes, resamples, np.random.default_rng(seed))))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    error = _standard_error(sums, sizes)
    normal = NormalDist()
    return Comparison(
        other=other,
        difference=float(values.mean()),
        low=float(low),
        high=float(high),
        standard_error=error,
        detectable=(normal.inv_cdf(1 - tail) + normal.inv_cdf(POWER)) * error,
        papers_won=float(np.mean(sums > 0)),
        examples=len(values),
        papers=len(names),
    )


def _resampled_means(sums: Floats, sizes: Floats, resamples: int, random: np.random.Generator) -> Iterator[Floats]:
    """Yield means over examples of papers drawn with replacement: only how often each one is drawn matters."""
    count = len(sums)
    for start in range(0, resamples, CHUNK):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, resamples - start))
        yield (drawn @ sums) / (drawn @ sizes)


def _standard_error(sums: Floats, sizes: Floats) -> float:
    """Return the cluster-robust standard error of the mean over examples (ratio of totals, linearised)."""
    count, examples = len(sums), sizes.sum()
    residuals = sums - sums.sum() / examples * sizes
    return float(np.sqrt(count / (count - 1) * np.square(residuals).sum()) / examples)
