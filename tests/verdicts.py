"""A verdict to build on."""

from dataclasses import replace
from typing import Any

from components.shared.verdict import (
    COPYING,
    MODELS,
    Comparison,
    Group,
    Rules,
    SystemScores,
    Verdict,
)

RULES = Rules(
    metric="rougeL",
    confidence=0.95,
    resamples=1_000,
    seed=1,
    year_error=0.05,
    looks_per_year=10,
    min_test_examples=20,
    min_test_papers=5,
)
CASE: dict[str, Any] = {
    "base": "invented-base",
    "adapter_digest": "a1",
    "dataset_digest": "d1",
    "trained": True,
    "examples": 40,
    "papers": 8,
    "level": 0.0045,
    "expected_spread": {"deviation": 0.13, "shared": 0.2},
}


def against(other: str, interval: tuple[float, float], floor: float | None = None) -> Comparison:
    """Return a comparison of tuned with another system."""
    low, high = interval
    return Comparison(
        other=other,
        difference=(low + high) / 2,
        low=low,
        high=high,
        floor=low if floor is None else floor,
        standard_error=0.01,
        freedom=7.0,
        deviation=0.12,
        shared=0.05,
        p_value=0.01,
        detectable=0.041,
        papers_won=0.6,
        examples=40,
        papers=8,
    )


def scores(name: str, rouge: float, published: float | None = None) -> SystemScores:
    """Return the means of a system."""
    figures = dict.fromkeys(
        ("rouge1", "rouge2", "rougeL"), rouge if published is None else published
    )
    model = name in MODELS
    return SystemScores(
        name=name,
        examples=40,
        rouge1=rouge + 0.05,
        rouge2=rouge / 2,
        rougeL=rouge,
        precision=figures,
        recall=figures,
        rouge_score=figures,
        metrics={"exact match": 0.0},
        words=31.5,
        repetition=0.0,
        stopped=0.9 if model else None,
        loss=2.5 if model else None,
    )


def verdict(**fields: Any) -> Verdict:
    """Return a verdict of invented figures; every field can be set by name."""
    rows = {"base": 0.21, "tuned": 0.34, "echo input": 0.36}
    found = Verdict(
        word=COPYING,
        reason="the tuned model beats its base, but is not shown to beat the copy-input baseline",
        notes=["Version 2 of release 'arxtune' is of another base (other) and was not compared."],
        run="20260301-120000",
        at="2026-03-01T12:00:00+00:00",
        **CASE,
        spent_before=[0.0045] * 3,
        planned_gain=0.041,
        rules=RULES,
        systems=[scores(name, score) for name, score in rows.items()],
        comparisons=[against("base", (0.01, 0.05)), against("echo input", (-0.05, -0.01))],
        kinds=[Group(name="claim", examples=40, base=0.2, tuned=0.3, gain=0.1)],
    )
    return replace(found, **fields)
