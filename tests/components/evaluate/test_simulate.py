"""A small A/A simulation; `python -m components.evaluate.simulate` runs the large one."""

import os

import numpy as np

from components.evaluate.config import EvaluateConfig
from components.evaluate.simulate import SINGLE, Design, bad_years, draw_differences, promoted

YEARS = int(os.environ.get("ARXTUNE_SIMULATED_YEARS", "150"))
RULES = EvaluateConfig()
LEVEL = RULES.year_error / RULES.looks_per_year


def test_an_equal_model_is_promoted_in_at_most_5_percent_of_years() -> None:
    assert bad_years(YEARS, seed=3, resamples=2_000, level=LEVEL) <= 0.05 * YEARS


def test_without_the_budget_most_years_would_promote_an_equal_model() -> None:
    assert bad_years(20, seed=3, resamples=1_000, level=SINGLE) > 8


def test_a_true_gain_is_found_in_80_percent_of_single_runs() -> None:
    design = Design(sizes=np.full(40, 5.0), common=0.2, gain=0.03)
    assert promoted(design, SINGLE, 100, np.random.default_rng(2), resamples=1_000) >= 80


def test_simulated_scores_spread_as_the_real_ones() -> None:
    draw = np.random.default_rng(0)
    for alike in (0.0, 0.5, 0.9):
        found = draw_differences(Design(sizes=np.full(40, 5.0), common=0.3, alike=alike), 400, draw)
        assert abs(found.std() - 0.077) < 0.006
        assert abs(found.mean()) < 0.002
