"""How often the verdict is wrong: years of weekly runs of two equal systems, and runs with a true gain.

    python -m components.evaluate.simulate --years 2000 --runs 2000

Scores of both systems are drawn around a common one, clipped to 0 to 1: each spreads by 0.19 over the examples, their
paired differences by 0.077, as measured on a published dataset of 2,429 triples. A year draws its test set: 10 to 500
examples of 5 to 50 papers of unequal size, whose examples have up to half of their variance in common, and from none to
nine tenths of the answers word for word alike, the rest spreading more. Each week scores fresh answers, which is harder
on the budget than scoring the same papers again. The minimum of test examples that the verdict asks for is ignored.
"""

import argparse
import math
from dataclasses import dataclass, replace

import numpy as np

from components.evaluate.config import EvaluateConfig
from components.evaluate.statistics import (
    PAIRED_SPREAD,
    Floats,
    bounds,
    cr2_errors,
    degrees_of_freedom,
    student,
)

SPREAD = 0.19  # of a system's scores over the examples
WEEKS = 52
SINGLE = (
    0.025  # one-sided error of one run without the year's budget: its 95% interval lies above zero
)


@dataclass(frozen=True, kw_only=True)
class Design:
    """A test set and how two systems do on it."""

    sizes: Floats  # examples of each paper
    common: float = (
        0.0  # share of the differences' variance that the examples of a paper have in common
    )
    alike: float = 0.0  # share of examples that both systems answer with the same words
    gain: float = 0.0  # true difference


def random_design(draw: np.random.Generator) -> Design:
    """Return a test set of 10 to 500 examples of 5 to 50 papers, small ones as likely as large ones."""
    papers = round(math.exp(draw.uniform(math.log(5), math.log(50))))
    examples = max(papers, round(math.exp(draw.uniform(math.log(10), math.log(500)))))
    shares = draw.dirichlet(np.full(papers, 2.0))
    sizes = np.asarray(1.0 + draw.multinomial(examples - papers, shares), dtype=np.float64)
    return Design(sizes=sizes, common=draw.uniform(0, 0.5), alike=draw.choice([0.0, 0.5, 0.9]))


def draw_differences(design: Design, runs: int, draw: np.random.Generator) -> Floats:
    """Return the differences of both systems' scores, shape (runs, examples), the examples of a paper together."""
    sizes = design.sizes.astype(int)
    shape = runs, int(sizes.sum())
    shared = np.repeat(draw.standard_normal((runs, len(sizes))), sizes, axis=1)
    noise = math.sqrt(design.common) * shared + math.sqrt(1 - design.common) * draw.standard_normal(
        shape
    )
    differs = draw.random(shape) >= design.alike
    gap = PAIRED_SPREAD / math.sqrt(1 - design.alike) * noise * differs
    middle = draw.normal(0.4, math.sqrt(SPREAD**2 - PAIRED_SPREAD**2 / 4), shape)
    first, second = (np.clip(middle + (gap + design.gain) * side, 0, 1) for side in (0.5, -0.5))
    return np.asarray(first - second)


def promoted(
    design: Design, level: float, runs: int, draw: np.random.Generator, resamples: int
) -> int:
    """Return in how many runs the floor at `level` lies above zero.

    Student's bound, which the floor never exceeds, is computed for all runs at once; only what passes it is resampled.
    """
    differences = draw_differences(design, runs, draw)
    starts = np.concatenate([[0], np.cumsum(design.sizes.astype(int))[:-1]])
    sums = np.add.reduceat(differences, starts, axis=1)
    quantile = student(1 - level, degrees_of_freedom(design.sizes))
    means = sums.sum(axis=1) / design.sizes.sum()
    passing = np.flatnonzero(means > quantile * cr2_errors(sums, design.sizes))
    floors = [bounds(sums[run], design.sizes, (level,), resamples=resamples) for run in passing]
    return sum(floor > 0 for (floor,) in floors)


def bad_years(years: int, seed: int, resamples: int, level: float) -> int:
    """Return how many of `years` years of weekly runs promote a system that equals its base."""
    draw = np.random.default_rng(seed)
    return sum(
        promoted(random_design(draw), level, WEEKS, draw, resamples) > 0 for _ in range(years)
    )


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(
        prog="python -m components.evaluate.simulate", description=main.__doc__
    )
    parser.add_argument(
        "--years", type=int, default=2_000, help="years of 52 runs of equal systems"
    )
    parser.add_argument("--runs", type=int, default=2_000, help="single runs of each kind")
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rules = EvaluateConfig()
    level = rules.year_error / rules.looks_per_year
    print(
        f"each look may err with {level:.5f}: {rules.year_error:g} a year over {rules.looks_per_year} looks"
    )
    bad = bad_years(given.years, given.seed, given.resamples, level)
    print(
        f"equal systems, years with a promotion        {_share(bad, given.years)}   at most 5% wanted"
    )
    draw = np.random.default_rng(given.seed)
    for papers in (5, 10, 20, 40):
        for name, common in (("independent", 0.0), ("half in common", 0.5)):
            design = Design(sizes=np.full(papers, 5.0), common=common)
            found = promoted(design, SINGLE, given.runs, draw, given.resamples)
            print(
                f"equal, one run, {papers:>2} x 5 examples, {name:<15} {_share(found, given.runs)}   2.5% expected"
            )
    design = Design(sizes=np.full(40, 5.0), gain=0.03)
    for name, at in (("one run", SINGLE), ("within the year's budget", level)):
        for common in (0.0, 0.2):
            found = promoted(replace(design, common=common), at, given.runs, draw, given.resamples)
            what = f"gain 0.03, 40 x 5 examples, {common:.0%} in common"
            print(f"{what}, {name:<25} {_share(found, given.runs)}")


def _share(count: int, total: int) -> str:
    return f"{count:>5} of {total} = {100 * count / total:.2f}%"


if __name__ == "__main__":
    main()
