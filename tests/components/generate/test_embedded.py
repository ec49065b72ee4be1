"""The embedded teacher: tasks that stand on the page and that copying does not solve."""

import json

import pytest

from components.generate.embedded import WORDINGS, EmbeddedTeacher
from components.generate.evidence import find_span
from components.generate.teacher import Request
from components.shared.records import CLOSED

PARAGRAPH = (
    "Sparse routing sends each token to two experts of a larger set. The router is trained with an "
    "auxiliary loss that keeps the load even. On the Meadow corpus the routed model reaches a "
    "perplexity of 12.4. A dense model of equal cost stays at 13.9 on the same text. Removing the "
    "auxiliary loss collapses most experts within a thousand steps. The gain grows with the number "
    "of experts until sixteen are used."
)


def ask(
    text: str, paper: str = "2405.90001", page: int = 1, seed: int = 42
) -> list[dict[str, str]]:
    request = Request(paper=paper, version=1, page=page, text=text, seed=seed)
    found: list[dict[str, str]] = json.loads(
        EmbeddedTeacher().ask(EmbeddedTeacher().payload(request)).text
    )["triples"]
    return found


READING_PAGE = """Sparse Routing of Tokens to Experts
Abstract
Large Language Models (LLMs) route tokens to experts at a cost. Sparse routing of tokens sends each to two experts.
We find that the routed model reaches a lower perplexity at equal cost. The gain grows with the number of experts.
2 Load of the Experts
The load of the experts is kept even by a loss. A dense model stays behind at the same cost on the text.
The router is trained with that loss from the first step on. Nothing else of the model is changed by it.
"""


def varied(text: str, paper: int = 0, title: str = "") -> list[dict[str, str]]:
    teacher = EmbeddedTeacher("varied")
    request = Request(paper=f"2405.9000{paper}", version=1, page=1, text=text, seed=42, title=title)
    answer = teacher.ask(teacher.payload(request))
    found: list[dict[str, str]] = json.loads(answer.text)["triples"]
    return found


def test_reading_tasks_are_made_where_the_page_shows_the_answer() -> None:
    title = "Sparse Routing of Tokens"
    tasks = [task for paper in range(20) for task in varied(READING_PAGE, paper, title)]
    found = {task["kind"]: task["output"] for task in tasks if task["kind"] != CLOSED}
    assert found == {
        "acronym": "Large Language Models",
        "finding": "The routed model reaches a lower perplexity at equal cost.",
        "heading": "Load of the Experts",
        "title": title,
    }
    assert {task["kind"] for task in varied(PARAGRAPH)} <= set(WORDINGS)  # where it shows none


def test_the_two_ways_are_not_taken_for_each_other_in_the_store() -> None:
    assert EmbeddedTeacher("varied").prompt_hash != EmbeddedTeacher().prompt_hash


def many() -> list[dict[str, str]]:
    return [task for page in range(1, 60) for task in ask(PARAGRAPH, page=page)]


def test_the_same_page_gives_the_same_tasks_and_another_seed_gives_others() -> None:
    assert many() == many()
    assert many() != [task for page in range(1, 60) for task in ask(PARAGRAPH, page=page, seed=7)]


def test_every_kind_of_task_comes_up() -> None:
    kinds = {task["kind"] for task in many()}
    assert kinds == set(WORDINGS)
    assert len(kinds) >= 3


def test_input_and_output_stand_on_the_page_word_for_word() -> None:
    for task in many():
        assert find_span(PARAGRAPH, task["input"]) is not None
        assert find_span(task["input"], task["output"].strip("“”")) is not None


def test_no_task_is_solved_by_copying_input_or_instruction() -> None:
    for task in many():
        answer = task["output"].strip("“”")
        assert len(answer.split()) < len(task["input"].split()) / 2
        assert answer not in task["instruction"]


def test_wrapped_lines_headings_and_feet_do_not_leak_into_a_passage() -> None:
    words = PARAGRAPH.split()
    lines = [" ".join(words[start : start + 12]) for start in range(0, len(words), 12)]
    page = "\n".join(["2 Routing", *lines, "Invented sample paper - 3"])
    tasks = [task for number in range(1, 20) for task in ask(page, page=number)]
    assert tasks
    for task in tasks:
        assert task["input"].startswith("Sparse routing")
        assert "Invented" not in task["input"]


@pytest.mark.parametrize(
    "page",
    [
        "",
        "Too short a page.",
        "\n".join(f"{number} 0.1{number} 0.2{number} & x_{number} = {{y}}" for number in range(60)),
        "and so on without a beginning\n" * 40,
    ],
    ids=["empty", "short", "table and formulas", "no whole sentence"],
)
def test_a_page_without_whole_sentences_gives_no_task(page: str) -> None:
    assert ask(page) == []


def test_closed_book_tasks_name_the_paper_and_are_answered_by_its_own_words() -> None:
    title = "Sparse Routing of Tokens"
    closed = [task for task in varied(READING_PAGE, title=title) if task["kind"] == CLOSED]
    assert closed
    for task in closed:
        start = task["instruction"].split("“")[-1].removesuffix(" …”").removesuffix(" …”?")
        assert title in task["instruction"]
        assert f"{start} {task['output']}" in task["input"]
        assert find_span(READING_PAGE, task["input"])
    assert CLOSED not in {task["kind"] for task in ask(READING_PAGE)}
