"""The parser: answers in the shapes that models really give become drafts, anything else becomes None."""

import pytest

from components.generate.triples import parse

WANTED = ("Name it.", "Line one.\nLine two.", "An answer.")


@pytest.mark.parametrize(
    "answer",
    [
        '{"triples": [{"instruction": "Name it.", "input": "Line one.\\nLine two.", "output": "An answer."}]}',
        '[{"Instruction": "Name it.", "Input": "Line one.\\nLine two.", "Output": "An answer."}]',
        '{"instruction": "Name it.", "input": "Line one.\\nLine two.", "output": "An answer."}',
        'Sure!\n```json\n[{"instruction": "Name it.", "input": "Line one.\\nLine two.", "output": "An answer."}]\n```',
        "Instruction: Name it.\nInput: Line one.\nLine two.\nOutput: An answer.",
        'Triple 1:\n\n**Instruction:** Name it.\n**Input:** "Line one.\nLine two."\n**Output:** An answer.\n',
        "1. INSTRUCTION: Name it.\n   INPUT: Line one.\nLine two.\n   OUTPUT: “An answer.”",
        "### Instruction: Name it.\n### Input:\nLine one.\nLine two.\n### Output:\nAn answer.",
    ],
)
def test_one_triple_in_many_shapes(answer: str) -> None:
    drafts = parse(answer)
    assert drafts is not None
    assert [(draft.instruction, draft.input, draft.output) for draft in drafts] == [WANTED]


def test_several_labelled_triples_stay_apart() -> None:
    answer = "\n\n".join(
        f"Triple {n}:\nInstruction: Do {n}.\nInput: Text {n}.\nMore {n}.\nOutput: Answer {n}." for n in (1, 2, 3)
    )
    drafts = parse(answer)
    assert drafts is not None
    assert [draft.input for draft in drafts] == [f"Text {n}.\nMore {n}." for n in (1, 2, 3)]
    assert [draft.output for draft in drafts] == ["Answer 1.", "Answer 2.", "Answer 3."]


def test_a_truncated_last_triple_loses_only_its_missing_field() -> None:
    drafts = parse("Instruction: A.\nInput: B.\nOutput: C.\n\nInstruction: D.\nInput: E")
    assert drafts is not None
    assert (drafts[0].output, drafts[1].instruction, drafts[1].output) == ("C.", "D.", "")


@pytest.mark.parametrize("answer", ["", "I cannot help with that.", '"a string"', "[1, 2]", '{"triples": 3}', "{"])
def test_no_triple_is_none_and_never_an_empty_success(answer: str) -> None:
    assert parse(answer) is None


def test_an_explicit_empty_list_is_no_failure() -> None:
    assert parse('{"triples": []}') == []
