"""The grounding check: inventions are found without a language model, faithful answers pass."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.grounding import GROUNDED, grounding
from tests.benchmarks.grounding import Case, faithful, planted

PASSAGE = (
    "Acceptance averaged 58 percent for Birch drafts and 74 percent for tenth-size helpers. Each Birch guess took 0.11 "
    "milliseconds. Throughput climbed from 31 to 59 tokens per second on the Larder prompts. The Elmwood controller "
    "outruns Larkspur on 1,024 prompts."
)


@pytest.mark.parametrize(
    "answer",
    [
        "“Each Birch guess took 0.11 milliseconds.”",
        "Birch drafts were accepted 58% of the time, tenth-size helpers 74%.",
        "On the Larder prompts, throughput rose from 31 to 59 tokens per second.",
        "Elmwood is faster than Larkspur on 1024 prompts: it outruns it.",
        r"\textbf{Each} Birch guess took $0.11 \cdot \frac{1}{1}$ milliseconds.",
    ],
)
def test_a_faithful_answer_passes(answer: str) -> None:
    score, problem = grounding(answer, PASSAGE)
    assert (score >= GROUNDED, problem) == (True, "")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            "Each Birch guess took 0.12 milliseconds.",
            "the number 0.12 does not stand in the passage",
        ),
        (
            "Throughput climbed from 59 to 31 tokens per second.",
            "59 stands where the passage has 31",
        ),
        (
            "Each Maple guess took 0.11 milliseconds.",
            "the name Maple does not stand in the passage",
        ),
        (
            "The Larkspur controller outruns Elmwood on 1,024 prompts.",
            "Larkspur stands where the passage has Elmwood",
        ),
        (
            "Cats sleep through most afternoons of a warm summer.",
            "its words are hardly those of the passage",
        ),
        (
            "Each Birch guess took 0.11 milliseconds. Cats sleep through warm summers.",
            "its words are hardly",
        ),
        ("", "the output is empty"),
        ("...", "the output is empty"),
    ],
)
def test_an_invention_is_named(answer: str, problem: str) -> None:
    found = grounding(answer, PASSAGE)
    assert found.score < GROUNDED
    assert found.problem.startswith(problem)


def share_rejected(cases: list[Case], most: int = 150) -> float:
    chosen = random.Random(0).sample(cases, min(most, len(cases)))
    return sum(grounding(case.output, case.evidence).score < GROUNDED for case in chosen) / len(
        chosen
    )


@pytest.fixture(scope="module")
def inventions() -> list[Case]:
    return list(planted(random.Random(1)))


@pytest.mark.parametrize("kind", ["number changed", "name swapped", "foreign sentence"])
def test_at_least_95_of_100_planted_inventions_are_rejected(
    inventions: list[Case], kind: str
) -> None:
    cases = [case for case in inventions if case.planted == kind]
    assert len(cases) >= 50
    assert share_rejected(cases) >= 0.95


def test_at_most_5_of_100_faithful_answers_are_rejected() -> None:
    cases = list(faithful())
    assert share_rejected(cases) <= 0.05
    assert share_rejected([case for case in cases if not case.output.startswith("“")]) <= 0.05


WORDS = st.lists(
    st.sampled_from(
        ["a", "it", "by", "%", "two", "2", "37", "loss", "Loss", "GPT4", "l’Hôpital", "."]
    )
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(WORDS, WORDS)
def test_words_in_any_dress_and_order_have_a_score(answer: list[str], passage: list[str]) -> None:
    assert 0 <= grounding(" ".join(answer), " ".join(passage)).score <= 1
