"""Each gate stops what it is for, and lets through what only looks like it."""

import re
from pathlib import Path

import pytest

from components.curate import gates
from components.curate.config import CurateConfig
from components.curate.gates import Gate, fault, tokens
from components.curate.ngrams import hashes
from tests.builders import triple
from tests.components.curate.running import prose, rejects, run

META, PROMPT = "refusal or talk about itself", "prompt leaked into the data"
PERSONAL, FOREIGN = "personal data", "not in English"
TRIVIAL, COPIED = "output is empty or trivial", "output equals the input or the instruction"


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("instruction is empty", {"instruction": " "}),
        (TRIVIAL, {"output": " "}),
        (TRIVIAL, {"output": "..."}),
        (TRIVIAL, {"output": "N/A"}),
        (TRIVIAL, {"output": "Not specified."}),
        (COPIED, {"input": "The same text.", "output": "the  same text"}),
        (COPIED, {"instruction": "Say it again now.", "output": "Say it again now"}),
        ("too short", {"instruction": "Say", "input": "", "output": "So"}),
        ("too long", {"output": "word " * 2100}),
        (META, {"output": "As an AI language model, I cannot read figures."}),
        (META, {"output": "I'm sorry, but the passage is cut off."}),
        (META, {"output": "The passage does not mention any baseline."}),
        (META, {"output": "Here is a summary: the model is small."}),
        (PROMPT, {"output": "A claim.\n\nInstruction: Summarise."}),
        (PROMPT, {"instruction": "Triple 2: Summarise the claim."}),
        (PROMPT, {"output": "The result is [insert the result here]."}),
        (PERSONAL, {"input": "Write to first.last@lab.example.org for the code."}),
        (PERSONAL, {"input": "Write to {first, last}@lab.example.org for the code."}),
        (PERSONAL, {"output": "Call +49 30 901820 55 for the data."}),
        (PERSONAL, {"output": "Call (212) 555-0147 for the data."}),
        (FOREIGN, {"output": "Le modèle est plus petit que les autres et la perte est faible."}),
        (FOREIGN, {"output": "Das Modell ist klein und der Verlust ist auch nicht so groß."}),
        (FOREIGN, {"output": "这个模型比其他模型小得多"}),
        (FOREIGN, {"input": "Модель меньше остальных, и потери ниже."}),
        ("output not grounded in its evidence", {"grounding": 0.2}),
    ],
)
def test_a_gate_stops_what_it_is_for(reason: str, fields: dict[str, object]) -> None:
    assert fault(CurateConfig(), triple(**fields)) == reason


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"output": "92.4"},
        {"output": "BERT"},
        {"output": "α ≤ β"},
        {"output": "No model exceeds 0.9."},
        {"output": "The model is used as an AI assistant in three clinics."},
        {"input": "It answers: I'm sorry, but I can't.", "output": "I'm sorry, but I can't."},
        {"output": "The input is a list of tokens: one a word."},
        {"input": "Input: a graph. Output: a path."},
        {"output": "Recall@10.5 rises; see arXiv 2405.90001 and doi 10.1234/567.890."},
        {"output": "Trained on 1 234 567 890 tokens in 2023-2024, from 0.001 to 0.00015."},
        {"output": "It has 123-456 layers and an ISBN of 978-3-16-148410-0."},
        {"output": "De la Cruz and van der Berg train LoRA."},
        {"output": prose("no language at all")},
        {"grounding": 0.0, "page": 0},  # rests on no page we know: nothing to judge it against
    ],
)
def test_what_only_looks_wrong_passes(fields: dict[str, object]) -> None:
    assert fault(CurateConfig(), triple(**fields)) is None


def test_a_reject_is_counted_under_the_first_gate_that_stops_it(tmp_path: Path) -> None:
    triples = [
        triple(output="A good answer."),
        triple(output="A   good answer."),
        triple(output="Made up.", grounding=0.1),
        triple(output="", grounding=0.1),
    ]
    summary = run(tmp_path, triples)
    assert summary["kept"] == 1
    assert summary["dropped"] == {
        "duplicate": 1,
        "output is empty or trivial": 1,
        "output not grounded in its evidence": 1,
    }
    assert len(rejects(tmp_path)) == 3
    assert all(
        reject["detail"].endswith("2405.90001, page 1: State the final claim.")
        for reject in rejects(tmp_path)
    )


def test_an_example_that_a_prompt_shows_is_known_by_its_hashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = prose("shown in a prompt")
    monkeypatch.setattr(gates, "_examples", lambda: frozenset(hashes(shown, gates.EXAMPLE_GRAM)))
    leaked, other = f"Here it comes. {shown.upper()}", prose("not shown")
    assert fault(CurateConfig(), triple(input=leaked)) == Gate.EXAMPLE
    assert fault(CurateConfig(), triple(input=other)) is None


def test_the_shipped_hashes_are_whole_and_each_once() -> None:
    lines = gates.EXAMPLES.read_text("ascii").splitlines()
    assert len(lines) == len(set(lines)) > 50
    assert all(re.fullmatch("[0-9a-f]{16}", line) for line in lines)


def test_tokens_are_no_fewer_than_words() -> None:
    assert tokens("Four words stand here.") == 5
    assert tokens("Donaudampfschifffahrtsgesellschaft") > 5
    assert tokens("模型") >= 1


def test_every_gate_is_tried_by_a_test() -> None:
    marks = test_a_gate_stops_what_it_is_for.pytestmark  # type: ignore[attr-defined]
    (mark,) = (found for found in marks if found.name == "parametrize")
    order = list(Gate)
    quality = order[order.index(Gate.EMPTY) : order.index(Gate.EXAMPLE)]
    assert {reason for reason, _ in mark.args[1]} == {*quality}
