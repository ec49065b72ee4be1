"""The bound that decides: right where the textbook is, safe where it is not."""

import math

import numpy as np
import pytest

from components.evaluate.statistics import (
    CAUTIOUS,
    POWER,
    Sample,
    Spread,
    compare,
    degrees_of_freedom,
    errors,
    margins,
    measured_spread,
    planned_gain,
    student,
    summed,
)
from tools.simulate_verdicts import UNEQUAL, Design, bad_years, passed, spending

DRAW = np.random.default_rng(0)


def one_a_paper(count: int) -> list[str]:
    return [f"paper {number}" for number in range(count)]


def test_the_interval_of_independent_differences_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.1, 4000)
    found = compare("base", values, one_a_paper(4000))
    error = values.std(ddof=1) / math.sqrt(4000)
    assert found.standard_error == pytest.approx(error, abs=1e-9), "rounded to nine decimals"
    assert found.low == pytest.approx(values.mean() - 1.961 * error, abs=0.01 * error)
    assert found.high == pytest.approx(values.mean() + 1.961 * error, abs=0.01 * error)
    assert found.freedom == pytest.approx(3999)
    assert found.floor == pytest.approx(found.low), "2.5% is what a 95% interval leaves"


def test_error_and_freedom_are_those_of_the_matrices_that_define_them() -> None:
    sizes = np.array([5.0, 3, 9, 1, 20])
    sums = np.array([0.4, -0.2, 1.1, 0.3, 0.2])
    total = sizes.sum()
    weights = 1 / np.sqrt(1 - sizes / total)
    scaled = sizes * weights
    independent = np.diag(sizes * weights**2) - np.outer(scaled, scaled) / total
    loadings = np.diag(scaled) - np.outer(scaled, sizes) / total
    models = independent, loadings @ loadings.T
    freedom = min(np.trace(model) ** 2 / np.square(model).sum() for model in models)
    assert degrees_of_freedom(sizes[None])[0] == pytest.approx(freedom)
    assert degrees_of_freedom(np.full((1, 12), 7.0))[0] == pytest.approx(11)
    residuals = (sums - sums.sum() / total * sizes) * weights
    sample = Sample(sums[None], sizes[None], np.array([1.0]), np.array([0.0]))
    assert errors(sample)[0] == pytest.approx(np.sqrt((residuals**2).sum()) / total)


def test_the_smallest_detectable_gain_is_found_in_80_percent_of_tests() -> None:
    draw = np.random.default_rng(1)
    found = compare("base", draw.normal(0, 0.1, 400), one_a_paper(400), level=0.005)
    error = found.standard_error
    gains = draw.normal(found.detectable, error, 20_000)
    assert np.mean(gains > float(student(0.995, 399)) * error) == pytest.approx(POWER, abs=0.02)


def test_examples_of_one_paper_are_no_independent_evidence() -> None:
    random = np.random.default_rng(2)
    values = np.repeat(random.normal(0.02, 0.1, 10), 20) + random.normal(0, 0.01, 200)
    clustered = compare("base", values, [f"paper {number // 20}" for number in range(200)])
    naive = compare("base", values, one_a_paper(200))
    assert clustered.difference == naive.difference
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)
    assert clustered.shared > 0.9


@pytest.mark.parametrize(
    ("differences", "papers", "why"),
    [
        ([0.02] * 80, 10, "80 equal gains may hide a loss in one answer of a hundred"),
        ([0.04] * 72 + [-0.3] * 8, 10, "a mean above zero, skewed to the left"),
        ([0.1] * 9 + [-0.4], 2, "two papers tell next to nothing"),
    ],
)
def test_what_a_few_examples_do_not_show_is_not_promoted(
    differences: list[float], papers: int, why: str
) -> None:
    names = [f"paper {place % papers}" for place in range(len(differences))]
    found = compare("base", differences, names, level=0.0045)
    assert found.difference > 0
    assert found.floor < 0, why


def test_a_gain_on_every_paper_is_found() -> None:
    values = DRAW.normal(0.4, 0.1, 80)
    found = compare("base", values, [f"paper {place % 10}" for place in range(80)], level=0.001)
    assert found.floor > 0.3
    assert found.papers_won == 1.0


def test_figures_depend_on_the_seed_alone_and_not_on_the_order() -> None:
    draw = np.random.default_rng(6)
    values = draw.normal(0.01, 0.1, 200)
    papers = [f"paper {number % 31:02}" for number in range(200)]
    order = draw.permutation(200)
    found = compare("base", values, papers)
    assert found == compare("base", values[order], [papers[place] for place in order])
    assert found.p_value != compare("base", values, papers, seed=1).p_value


def test_one_paper_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two papers"):
        compare("base", [0.1, 0.2], ["same", "same"])


def test_the_p_value_is_exact_for_few_papers() -> None:
    found = compare("base", [0.1, 0.2, 0.3, 0.4], one_a_paper(4))
    assert found.p_value == pytest.approx(2 / 16), "of 16 ways to change sides, two differ as much"


@pytest.mark.parametrize(("papers", "size"), [(40, 8), (12, 40), (20, 8), (10, 20)])
@pytest.mark.parametrize("shared", [0.05, 0.2])
def test_the_announced_gain_is_within_half_as_much_again_of_the_one_found(
    papers: int, size: int, shared: float
) -> None:
    draw = np.random.default_rng(3)
    level, names = spending(1)[0], [f"{place // size}" for place in range(papers * size)]
    effects = np.repeat(draw.normal(0, math.sqrt(shared), papers), size)
    noise = draw.normal(0, math.sqrt(1 - shared), papers * size)
    values = 0.12 * (effects + noise) + 0.03
    spread = measured_spread(summed(values, names))
    assert spread.deviation == pytest.approx(0.12, rel=0.15)
    announced = planned_gain([size] * papers, level, spread)
    assert announced / compare("base", values, names, level=level).detectable == pytest.approx(
        1, abs=0.5
    )


def test_no_announced_gain_leaves_the_range_of_the_metric() -> None:
    assert planned_gain([1, 1], 0.001, CAUTIOUS) == 1.0
    assert 0 < planned_gain([8] * 40, 0.0045, Spread(0.12, 0.05)) < 0.04


@pytest.mark.parametrize("shape", ["normal", "t3", "right", "left", "equal"])
@pytest.mark.parametrize("size", [8, UNEQUAL])
def test_a_year_of_candidates_that_are_no_better_promotes_hardly_any(shape: str, size: int) -> None:
    design = Design(papers=10, size=size, shape=shape, shared=0.2)
    for rate, _ in bad_years(design, 400).values():
        assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("papers", "size", "wanted"), [(40, 8, 0.83), (12, 40, 0.48)])
def test_a_true_gain_is_found_as_often_as_promised(papers: int, size: int, wanted: float) -> None:
    design = Design(papers, size, gain=0.03)
    found = passed(design, 2_000, spending(1), np.random.default_rng(1))
    assert found.mean() > wanted


def test_a_stricter_level_moves_the_floor_down() -> None:
    sample = summed(DRAW.normal(0, 0.1, 80), [f"{place % 8}" for place in range(80)])
    falling = [float(margins(sample, level)[0]) for level in spending(20)]
    assert falling == sorted(falling)
