"""How often the verdict is wrong, and how often it finds a gain: simulated years of candidates.

    python -m tools.simulate_verdicts                    # the whole table
    python -m tools.simulate_verdicts --years 2000 --papers 5 10

Each candidate of a year is judged on answers of its own, which is harder on the error than the same
papers again. Differences have a standard deviation of DEVIATION; papers share a part of the
variance by a normal effect of the paper or, in the rows called `alike`, by one of the shape of the
examples'.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.budget import share
from components.evaluate.config import EvaluateConfig
from components.evaluate.statistics import Sample, margins

Floats = NDArray[np.floating[Any]]
DEVIATION = 0.12
AT_A_TIME = 2_000_000  # differences held in memory
ROUNDING = 1e-6  # single precision
SKEWED = ("t3", "right", "left", "rare")
SHAPES = ("normal", "t3", "right", "left", "rare", "equal")
UNEQUAL = 0  # papers of 1 to 40 examples


@dataclass(frozen=True)
class Design:
    """A test set and how two systems do on it."""

    papers: int
    size: int  # examples of each paper, or UNEQUAL
    shape: str = "normal"
    shared: float = 0.05  # share of the variance that papers have in common
    alike: bool = False  # papers differ by the examples' shape instead of a normal one
    gain: float = 0.0


def standard(shape: str, size: tuple[int, ...], draw: np.random.Generator) -> Floats:
    """Return values of mean 0 and standard deviation 1."""
    single = np.float32  # half the time; sums are taken in double precision
    if shape == "right":
        return draw.standard_exponential(size, single) - single(1)
    if shape in ("left", "rare"):
        share = 0.1 if shape == "left" else 0.05
        value = single(((1 - share) / share) ** 0.5)
        return np.where(draw.random(size, single) < share, -value, 1 / value)
    values = draw.standard_normal(size, single)
    if shape == "t3":  # a normal value over the root of a chi-square of 3 degrees over 3
        values /= np.sqrt(2 * draw.standard_gamma(1.5, size, single))
    return values


def differences(design: Design, sizes: Floats, draw: np.random.Generator) -> Floats:
    """Return differences, shape (runs, papers, largest paper), zero beyond a paper's end."""
    runs, papers = sizes.shape
    shape = (runs, papers, int(sizes.max()))
    effect = standard(design.shape if design.alike else "normal", (runs, papers, 1), draw)
    noise = standard(design.shape, shape, draw)
    own, common = (DEVIATION * part**0.5 for part in (1 - design.shared, design.shared))
    values = np.float32(own) * noise + np.float32(common) * effect
    if design.shape == "equal":  # four fifths of the answers are the same, word for word
        values *= (draw.random(shape, np.float32) < 0.2) * np.float32(0.2**-0.5)
    inside = np.arange(shape[2]) < sizes[:, :, None]
    return np.asarray((values + np.float32(design.gain)) * inside)


def samples(design: Design, runs: int, draw: np.random.Generator) -> Iterator[Sample]:
    """Yield the samples of `runs` runs, in parts that fit into memory."""
    part = max(1, AT_A_TIME // (design.papers * (design.size or 40)))
    for start in range(0, runs, part):
        shape = (min(part, runs - start), design.papers)
        sizes = np.full(shape, float(design.size))
        if design.size == UNEQUAL:
            sizes = draw.integers(1, 41, shape).astype(np.float64)
        values = differences(design, sizes, draw)
        squares = values * values
        sums = values.sum(axis=2, dtype=np.float64)
        second = squares.sum(axis=(1, 2), dtype=np.float64)
        third = (squares * values).sum(axis=(1, 2), dtype=np.float64)
        yield Sample(sums, sizes, second, third)


def passed(design: Design, runs: int, levels: Sequence[float], draw: np.random.Generator) -> Floats:
    """Return whether the floor lies above zero, shape (runs, levels); `levels` fall."""
    found = []
    for part in samples(design, runs, draw):
        clear = np.zeros((len(part.squares), len(levels)), bool)
        promising = np.flatnonzero(part.means > margins(part, levels[0]) + ROUNDING)
        best = Sample(
            part.sums[promising],
            part.sizes[promising],
            part.squares[promising],
            part.cubes[promising],
        )
        for place, level in enumerate(levels):
            clear[promising, place] = best.means > margins(best, level) + ROUNDING
        found.append(clear)
    return np.concatenate(found)


def spending(looks: int) -> list[float]:
    """Return the levels of the looks of a year that nothing came before."""
    rules = EvaluateConfig()
    levels: list[float] = []
    for _ in range(looks):
        levels.append(share(rules.year_error, rules.looks_per_year, sum(levels)))
    return levels


def bad_years(design: Design, years: int, seed: int = 1) -> dict[int, tuple[float, float]]:
    """Return the share of years with a wrong promotion, and its upper 95% bound, by looks a year.

    Years of twelve looks are drawn as they are (bound by Clopper and Pearson). Of years of 52 looks
    the expected number of wrong promotions is taken, which is never below the share, from the same
    runs.
    """
    from scipy.stats import beta

    clear = passed(design, years * 12, spending(52), np.random.default_rng(seed))
    months = clear.reshape(years, 12, 52)[:, np.arange(12), np.arange(12)]
    bad = int(months.any(axis=1).sum())
    upper = float(beta.ppf(0.95, bad + 1, years - bad)) if bad < years else 1.0
    weeks = clear.sum(axis=1)
    error = 1.645 * float(weeks.std()) / len(weeks) ** 0.5
    mean = float(weeks.mean())
    return {12: (bad / years, upper), 52: (mean, mean + error)}


def main() -> None:
    """Print the table: shapes x sizes x gains x looks."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.simulate_verdicts", description=main.__doc__
    )
    parser.add_argument("--years", type=int, default=20_000, help="years a cell")
    parser.add_argument("--papers", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, UNEQUAL], help="0: 1 to 40")
    given = parser.parse_args()
    print("no better than the base: years of 12 and of 52 verdicts with a promotion, < upper bound")
    for papers in given.papers:
        for size in given.sizes:
            for shared in (0.05, 0.2):
                _print_rows(papers, size, shared, given.years)
    print(f"found, deviation {DEVIATION}, 5% shared, by the 1st, 6th, 12th and 52nd verdict")
    levels = [spending(52)[place - 1] for place in (1, 6, 12, 52)]
    for papers, size in ((40, 8), (12, 40), (20, 8), (10, 8), (5, 8)):
        for gain in (0.02, 0.03, 0.05, 0.1):
            design = Design(papers, size, gain=gain)
            found = passed(design, 4_000, levels, np.random.default_rng(1)).mean(axis=0)
            cells = "  ".join(f"{value:6.1%}" for value in found)
            print(f"  {papers:>2} papers x {size:>2}, +{gain:.2f}: {cells}")


def _print_rows(papers: int, size: int, shared: float, years: int) -> None:
    for shape in SHAPES:
        for alike in (False, True) if shape in SKEWED else (False,):
            cells = []
            for looks, (rate, upper) in bad_years(
                Design(papers, size, shape, shared, alike), years
            ).items():
                cells.append(f"{looks} {rate:6.2%} <{upper:6.2%}{' !' if upper > 0.05 else ''}")
            what = f"{papers:>2} papers x {size or '1-40'}, {shared:.0%} shared, {shape}"
            print(f"  {what}{' alike' if alike else ''}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
