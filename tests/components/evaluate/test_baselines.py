from dataclasses import replace

from invented_run import make_examples

from components.evaluate.baselines import (
    COPY_INPUT,
    COPY_INSTRUCTION,
    EMPTY,
    FIRST_WORDS,
    RANDOM_ANSWER,
    base_cut,
    baseline_answers,
)
from components.shared.verdict import BASE_CUT, MODELS, TITLES

ONE, TWO = make_examples(1, 2, 0, seed=1)
TASKS = [
    replace(ONE, instruction="Say what is claimed.", input="One two three four five six."),
    replace(TWO, instruction="Find the number.", input="Seven\neight   nine 10."),
]
TRAINING = ["a b", "c d e f", "g h i"]


def test_each_baseline_answers_from_the_task_and_the_training_answers_alone() -> None:
    answers = baseline_answers(TASKS, TRAINING, seed=1)
    assert answers[COPY_INPUT] == [task.input for task in TASKS]
    assert answers[FIRST_WORDS] == ["One two three", "Seven eight nine"], (
        "training answers have three words on average"
    )
    assert answers[COPY_INSTRUCTION] == [task.instruction for task in TASKS]
    assert set(answers[RANDOM_ANSWER]) <= set(TRAINING)
    assert answers[EMPTY] == ["", ""]


def test_random_answers_follow_the_seed() -> None:
    tasks = TASKS * 20
    first, again, other = (
        baseline_answers(tasks, TRAINING, seed)[RANDOM_ANSWER] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_base_is_cut_to_as_many_words_as_the_tuned_answer() -> None:
    assert base_cut(["a b c d", "e f", "g"], ["x y", "x y z", ""]) == ["a b", "e f", ""]


def test_without_training_answers_the_baselines_still_answer() -> None:
    answers = baseline_answers(TASKS, [], seed=1)
    assert answers[FIRST_WORDS] == answers[RANDOM_ANSWER] == ["", ""]


def test_no_baseline_has_the_name_of_a_model() -> None:
    names = {*baseline_answers(TASKS, TRAINING, 1), BASE_CUT}
    assert not names & set(MODELS)
    assert names == set(TITLES)
