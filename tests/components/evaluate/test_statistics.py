import math
from statistics import NormalDist

import numpy as np
import pytest

from components.evaluate.statistics import compare


def one_a_paper(count: int) -> list[str]:
    return [f"paper {number}" for number in range(count)]


def test_the_interval_of_independent_differences_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.1, 400)
    found = compare("base", values, one_a_paper(400))
    error = values.std(ddof=1) / math.sqrt(400)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.04 * error * 1.96 * 2)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.04 * error * 1.96 * 2)


def test_the_smallest_detectable_gain_is_found_in_80_percent_of_tests() -> None:
    found = compare("base", np.random.default_rng(1).normal(0, 0.1, 100), one_a_paper(100))
    normal = NormalDist(mu=found.detectable, sigma=found.standard_error)
    assert 1 - normal.cdf(1.959964 * found.standard_error) == pytest.approx(0.8, abs=1e-6)


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
    assert (found.low, found.high) == pytest.approx((-0.4, 0.1)), "either paper may be drawn twice"
    assert found.papers_won == 0.5
    assert (found.examples, found.papers) == (10, 2)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(3).normal(0, 0.1, 50)
    first, again, other = (compare("base", values, one_a_paper(50), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_the_order_of_examples_does_not_matter() -> None:
    values, papers = [0.1, 0.3, -0.2, 0.05], ["b", "a", "b", "c"]
    forward = compare("base", values, papers)
    backward = compare("base", values[::-1], papers[::-1])
    assert (forward.low, forward.high) == pytest.approx((backward.low, backward.high))


def test_equal_systems_have_an_interval_of_nothing() -> None:
    found = compare("base", [0.0] * 30, one_a_paper(30))
    assert (found.difference, found.low, found.high, found.detectable, found.papers_won) == (0, 0, 0, 0, 0)


def test_wider_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(4).normal(0, 0.1, 50)
    narrow, wide = (compare("base", values, one_a_paper(50), confidence=c) for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_paper_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two papers"):
        compare("base", [0.1, 0.2], ["same", "same"])
