"""The parser: answers in the shapes that models really give become drafts, anything else becomes None."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.generate.shapes import EXACT, LABELLED, SHAPES
from components.generate.teacher import Draft
from components.generate.triples import parse
from tests.components.generate.recorded import ONE, RECORDED, TWO

PROFILE = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

anything = st.text(
    st.characters(blacklist_categories=("Cs", "Cc")) | st.just("\n"), min_size=1, max_size=60
).map(str.strip)
words = st.text(string.ascii_letters + "αβγé ,;'()[]{}%&<>|/+0123456789", min_size=1, max_size=40)
prose = (
    st.lists(words.map(lambda line: f"w {line.strip()} w."), min_size=1, max_size=3)
    .map("\n".join)
    .filter(
        lambda text: "{" not in text and "[" not in text and "<" not in text and "|" not in text
    )
)


def drafts_of(text: st.SearchStrategy[str]) -> st.SearchStrategy[list[Draft]]:
    return st.lists(
        st.builds(Draft, text.filter(bool), text, text.filter(bool)), min_size=1, max_size=4
    )


@pytest.mark.parametrize("shape", EXACT)
@PROFILE
@given(drafts=drafts_of(anything))
def test_any_triple_survives_a_shape_with_a_grammar(shape: str, drafts: list[Draft]) -> None:
    assert parse(SHAPES[shape](drafts)) == drafts


@pytest.mark.parametrize("shape", LABELLED)
@PROFILE
@given(drafts=drafts_of(prose))
def test_triples_of_prose_survive_labelled_text(shape: str, drafts: list[Draft]) -> None:
    assert parse(SHAPES[shape](drafts)) == drafts


@PROFILE
@given(text=st.text(max_size=300))
def test_no_text_at_all_breaks_the_parser(text: str) -> None:
    drafts = parse(text)
    assert drafts is None or all(isinstance(draft, Draft) for draft in drafts)


@PROFILE
@given(drafts=drafts_of(prose), share=st.floats(0, 1), shape=st.sampled_from(sorted(SHAPES)))
def test_a_cut_answer_gives_whole_triples_and_at_most_one_without_output(
    drafts: list[Draft], share: float, shape: str
) -> None:
    text = SHAPES[shape](drafts)
    found = parse(text[: int(len(text) * share)], cut=True) or []
    whole = [draft for draft in found if draft.output]
    assert whole == drafts[: len(whole)]
    assert len(found) <= len(whole) + 1


def test_at_least_sixty_shapes_are_recorded() -> None:
    assert len(RECORDED) >= 60
    assert len({answer for answer, _ in RECORDED.values()}) == len(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_shape_is_read(name: str) -> None:
    answer, wanted = RECORDED[name]
    drafts = parse(answer)
    assert (
        None if drafts is None else [(d.instruction, d.input, d.output) for d in drafts]
    ) == wanted
    assert wanted in (None, [], ONE, TWO) or len(wanted) > 0


def test_the_end_of_a_cut_labelled_answer_is_no_output() -> None:
    drafts = parse(
        "Instruction: A.\nInput: B.\nOutput: C.\n\nInstruction: D.\nInput: E.\nOutput: Half an",
        cut=True,
    )
    assert drafts is not None
    assert [draft.output for draft in drafts] == ["C.", ""]


def test_an_explicit_empty_list_is_told_apart() -> None:
    assert parse('{"triples": []}') == []
