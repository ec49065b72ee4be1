"""The facts of teacher models: what may be relied on before any server was asked."""

import pytest

from components.shared.licences import model_licence
from components.shared.teachers import AUTO, FACTS, plan, ranked, teacher, terms


def test_what_auto_may_choose_has_one_licence_and_a_price() -> None:
    assert {facts.licence for facts in ranked()} == {terms("groq", AUTO)} == {"Apache-2.0"}
    assert all(facts.dollars(1e6, 1e6) for facts in ranked())


def test_a_retired_model_names_one_that_is_served() -> None:
    served = {facts.model for facts in ranked()}
    retired = [
        teacher(name)
        for name in ("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "qwen/qwen3-32b")
    ]
    assert all(facts.retired_on and facts.replaced_by in served for facts in retired)


@pytest.mark.parametrize("model", ["llama-3.3-70b-versatile", "openai/gpt-oss-20b"])
def test_listed_terms_are_those_that_the_name_tells(model: str) -> None:
    assert teacher(model).licence == model_licence(model)


def test_a_model_that_is_not_listed_has_the_terms_of_its_name_and_no_price() -> None:
    facts = teacher("mistralai/Mistral-7B-Instruct-v0.3")
    assert (facts.licence, facts.dollars(1000, 1000)) == ("Apache-2.0", None)
    assert terms("embedded", "llama-3.3-70b-versatile") == "Apache-2.0"


def test_cached_input_and_plans_are_priced() -> None:
    assert teacher("openai/gpt-oss-120b").dollars(2e6, 1e6, cached=1e6) == pytest.approx(0.825)
    assert (plan("free").tokens_a_day, plan("developer").tokens_a_day) == (200_000, 0)
    assert "read = " in FACTS.read_text("utf-8")
