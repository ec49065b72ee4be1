"""Ten weekly runs in one store: old answers are reused, only a gain is released."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from invented_run import Run, make_examples

from components.evaluate.budget import take_look
from components.evaluate.core import evaluate
from components.evaluate.statistics import compare
from components.shared.records import write_records
from components.shared.store import FolderStore
from components.shared.verdict import BETTER, NO_EVIDENCE, TOO_LITTLE, Verdict

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
PAPERS_A_WEEK, EXAMPLES_A_PAPER = 4, 8
SEEDS, PLANTED, GAIN, DEVIATION, SHARED = 50, 6, 0.05, 0.12, 0.05


def test_base_and_champion_answer_new_papers_only(make_run: Callable[..., Run]) -> None:
    run = make_run(answered=False)
    everything = make_examples(30, 8, 40, seed=7)
    words: dict[int, str] = {}
    for week in range(1, 11):
        new = everything[24 * (week - 1) : 24 * week]
        bank = everything[: 24 * week]
        write_records(run.folders[1] / "examples.jsonl", bank)
        digest = f"candidate-{week}"
        about = (run.folders[2] / "adapter.json").read_text("utf-8")
        about = about.replace(f"candidate-{week - 1}", digest).replace("tuned-digest", digest)
        (run.folders[2] / "adapter.json").write_text(about, "utf-8")
        # Whoever asked base or champion about an old paper again would have to load a model, and
        # there is none.
        run.examples = new
        run.answer("base", run.rambling())
        if week > PLANTED:
            run.answer(f"candidate-{PLANTED}", run.good())
        run.examples = bank
        run.answer(digest, run.good() if week >= PLANTED else some_rambling(run, week))
        evaluate(run.config, *run.folders)
        verdict = Verdict.read(run.folders[3] / "verdict.json")
        words[week] = verdict.word
        assert verdict.examples == len(bank)
        if week == PLANTED:
            run.release(1, digest)
            run.examples = bank
            run.answer(digest, run.good())
    assert words[PLANTED] == BETTER
    assert words.pop(1) == TOO_LITTLE, "three papers are none to judge on"
    assert {word for week, word in words.items() if week != PLANTED} == {NO_EVIDENCE}


def some_rambling(run: Run, seed: int) -> list[str]:
    draw = random.Random(seed)
    texts = run.rambling()
    draw.shuffle(texts)
    return texts


def first_release(store: FolderStore, seed: int, gain: float) -> int:
    """Return the week in which a candidate is released, 0 for none; from PLANTED on they gain."""
    draw = np.random.default_rng(seed)
    for week in range(1, 11):
        papers = PAPERS_A_WEEK * week
        effects = np.repeat(draw.normal(0, SHARED**0.5, papers), EXAMPLES_A_PAPER)
        noise = draw.normal(0, (1 - SHARED) ** 0.5, papers * EXAMPLES_A_PAPER)
        scores = DEVIATION * (effects + noise) + (gain if week >= PLANTED else 0.0)
        at = MONDAY + timedelta(weeks=week)
        level = take_look(store, f"seed{seed}", f"week {week}", 0.05, 10, at).level
        names = [f"{place // EXAMPLES_A_PAPER:03}" for place in range(len(scores))]
        found = compare("base", scores, names, level=level, resamples=1)
        if found.floor > 0:
            return week
    return 0


def test_a_planted_gain_is_released_within_two_weeks_and_an_equal_candidate_hardly_ever(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path)
    planted = [first_release(store, seed, GAIN) for seed in range(SEEDS)]
    assert sum(PLANTED <= week <= 8 for week in planted) >= 0.8 * SEEDS
    equal = [first_release(store, 1_000 + seed, 0.0) for seed in range(SEEDS)]
    assert sum(week > 0 for week in equal) <= 0.05 * SEEDS
