import math

import numpy as np
import pytest

from components.evaluate.statistics import POWER, compare, degrees_of_freedom, student


def one_a_paper(count: int) -> list[str]:
    return [f"paper {number}" for number in range(count)]


def test_the_interval_of_independent_differences_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.1, 400)
    found = compare("base", values, one_a_paper(400))
    error = values.std(ddof=1) / math.sqrt(400)
    assert found.standard_error == pytest.approx(error, abs=1e-9), (
        "figures are rounded to nine decimals"
    )
    assert found.low == pytest.approx(values.mean() - 1.966 * error, abs=0.08 * error)
    assert found.high == pytest.approx(values.mean() + 1.966 * error, abs=0.08 * error)
    assert found.freedom == pytest.approx(399)
    assert found.floor == pytest.approx(found.low), (
        "2.5% on this side is what a 95% interval leaves"
    )


def test_the_smallest_detectable_gain_is_found_in_80_percent_of_tests() -> None:
    draw = np.random.default_rng(1)
    found = compare("base", draw.normal(0, 0.1, 40), one_a_paper(40), level=0.001)
    for gain, level in ((found.detectable, 0.025), (found.detectable_deciding, 0.001)):
        samples = draw.normal(gain / found.standard_error, math.sqrt(40), (20_000, 40))
        statistic = samples.mean(axis=1) / samples.std(axis=1, ddof=1) * math.sqrt(40)
        assert np.mean(statistic > student(1 - level, 39)) == pytest.approx(POWER, abs=0.02)


def test_examples_of_one_paper_are_no_independent_evidence() -> None:
    random = np.random.default_rng(2)
    values = np.repeat(random.normal(0.02, 0.1, 10), 20) + random.normal(0, 0.01, 200)
    clustered = compare("base", values, [f"paper {number // 20}" for number in range(200)])
    naive = compare("base", values, one_a_paper(200))
    assert clustered.difference == naive.difference
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)
    assert clustered.detectable > 3 * naive.detectable


def test_papers_of_unequal_size_weigh_by_their_examples() -> None:
    papers = ["long"] * 9 + ["short"]
    found = compare("base", [0.1] * 9 + [-0.4], papers)
    assert found.difference == pytest.approx(0.05)
    assert found.low < -0.4 < 0.1 < found.high, (
        "two papers, of which either may be drawn twice, tell next to nothing"
    )
    assert found.papers_won == 0.5
    assert (found.examples, found.papers) == (10, 2)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(3).normal(0, 0.1, 50)
    first, again, other = (
        compare("base", values, one_a_paper(50), seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.p_value != other.p_value


def test_the_order_of_examples_does_not_matter() -> None:
    values, papers = [0.1, 0.3, -0.2, 0.05], ["b", "a", "b", "c"]
    forward = compare("base", values, papers)
    backward = compare("base", values[::-1], papers[::-1])
    assert (forward.low, forward.high) == pytest.approx((backward.low, backward.high))


def test_equal_systems_have_an_interval_of_nothing() -> None:
    found = compare("base", [0.0] * 30, one_a_paper(30))
    assert (found.difference, found.low, found.high, found.detectable, found.papers_won) == (
        0,
        0,
        0,
        0,
        0,
    )


def test_wider_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(4).normal(0, 0.1, 50)
    narrow, wide = (compare("base", values, one_a_paper(50), confidence=c) for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_paper_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two papers"):
        compare("base", [0.1, 0.2], ["same", "same"])


def test_a_handful_of_papers_has_a_wider_interval_than_the_bootstrap_alone() -> None:
    values = np.random.default_rng(5).normal(0.05, 0.05, 5)
    found = compare("base", values, one_a_paper(5))
    error = values.std(ddof=1) / math.sqrt(5)
    assert found.low == pytest.approx(values.mean() - 2.776 * error, abs=1e-4), (
        "Student's t with 4 degrees of freedom"
    )


def test_one_large_paper_among_small_ones_leaves_few_degrees_of_freedom() -> None:
    assert degrees_of_freedom(np.full(12, 7.0)) == pytest.approx(11)
    assert degrees_of_freedom(np.array([80.0, *[1.0] * 11])) < 2


def test_the_p_value_is_exact_for_few_papers_and_the_same_whatever_the_order() -> None:
    found = compare("base", [0.1, 0.2, 0.3, 0.4], one_a_paper(4))
    assert found.p_value == pytest.approx(2 / 16), "of 16 ways to change sides, two differ as much"
    assert compare("base", [0.1, -0.1] * 10, one_a_paper(20)).p_value == pytest.approx(1.0)


def test_every_figure_is_the_same_to_the_bit_in_any_order_of_the_examples() -> None:
    draw = np.random.default_rng(6)
    values, papers = (
        draw.normal(0.01, 0.1, 200),
        [f"paper {number % 11:02}" for number in range(200)],
    )
    order = draw.permutation(200)
    assert compare("base", values, papers) == compare(
        "base", values[order], [papers[place] for place in order]
    )
