"""Generate: every triple knows where it comes from, every answer is asked for once."""

import json
from pathlib import Path

import pytest

from components.generate import core
from components.generate.config import GenerateConfig
from components.generate.embedded import EmbeddedTeacher
from components.generate.evidence import evidence
from components.generate.teacher import Payload, Reply
from components.shared.records import Triple, read_records, write_atomically
from tests.builders import document

PAGE = (
    "Sparse routing sends each token to two experts of a larger set. The router is trained with "
    "an auxiliary loss that keeps the load even. On the Meadow corpus the routed model reaches a "
    "perplexity of 12.4. A dense model of equal cost stays at 13.9 on the same text. Removing the "
    "auxiliary loss collapses most experts within a thousand steps. The gain grows with the "
    "number of experts until sixteen of them."
)


class CountingTeacher(EmbeddedTeacher):
    """Answers from a list and counts what it is asked."""

    name = "counting"

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), 0

    def ask(self, payload: Payload) -> Reply:
        self.asked += 1
        return Reply(self.answers[(self.asked - 1) % len(self.answers)])


def run(
    folder: Path, teacher: object, monkeypatch: pytest.MonkeyPatch, pages: list[str]
) -> list[Triple]:
    monkeypatch.setattr(core, "make_teacher", lambda config: teacher)
    write_atomically(
        folder / "documents/documents.jsonl", json.dumps(document(pages).to_dict()) + "\n"
    )
    config = GenerateConfig(store=str(folder / "store"), teacher="embedded")
    core.generate(config, folder / "documents", folder / "triples")
    return list(read_records(folder / "triples/triples.jsonl", Triple))


GOOD = (
    '{"triples": [{"instruction": "Name the cause of collapse.", "input": "Removing the auxiliary '
    'loss collapses most experts within a thousand steps.", '
    '"output": "The experts collapse without the auxiliary loss."}]}'
)


def test_a_triple_points_at_the_passage_it_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (triple,) = run(tmp_path, CountingTeacher(GOOD), monkeypatch, [PAGE])
    ((start, end),) = triple.evidence
    assert PAGE[start:end] == triple.input
    assert (triple.paper, triple.version, triple.page) == ("2405.90001", 1, 1)
    assert triple.grounding > 0.7


def test_the_same_page_is_asked_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = CountingTeacher(GOOD)
    first = run(tmp_path, teacher, monkeypatch, [PAGE])
    again = run(tmp_path, teacher, monkeypatch, [PAGE])
    assert teacher.asked == 1
    assert first == again


def test_an_answer_that_cannot_be_read_is_kept_as_a_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        run(tmp_path, CountingTeacher("I am sorry, I cannot do that."), monkeypatch, [PAGE]) == []
    )
    (line,) = (tmp_path / "triples/rejects.jsonl").read_text().splitlines()
    assert "no triple in the teacher's answer" in line
    assert "I am sorry" in line


def test_short_pages_are_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = CountingTeacher(GOOD)
    run(tmp_path, teacher, monkeypatch, ["A short page."])
    assert teacher.asked == 0


def test_evidence_is_found_across_line_breaks() -> None:
    text = "One two\nthree four. Five six."
    assert evidence(text, "two three  four.", "x") == [(4, 19)]
    assert evidence(text, "not there", "Five six.") == [(20, 29)]
    assert evidence(text, "Six five.", "x") == [(20, 29)]
    assert evidence(text, "absent", "missing") == [(0, len(text))]


def test_half_a_surrogate_pair_in_a_document_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = json.loads('"\\ud83d"')
    (triple,) = run(tmp_path, CountingTeacher(GOOD), monkeypatch, [f"{half} {PAGE}"])
    ((start, end),) = triple.evidence
    assert f"{half} {PAGE}"[start:end] == triple.input
