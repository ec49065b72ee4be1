import pytest
from rouge_score.rouge_scorer import RougeScorer

from components.evaluate.rouge import METRICS, Tokenizer, score


@pytest.mark.parametrize("text", ["α β γ", "∀ ε > 0 ∃ δ", "потеря внимания", "注意力 机制", "0.42"])
def test_a_text_of_any_script_equals_itself(text: str) -> None:
    assert score(text, text)["rouge1"] == 1.0
    assert score(text, text)["rougeL"] == 1.0


def test_rouge_score_by_itself_sees_nothing_in_greek() -> None:
    assert RougeScorer(["rougeL"], use_stemmer=True).score("α β γ", "α β γ")["rougeL"].fmeasure == 0.0


def test_numbers_and_mathematical_symbols_are_tokens_and_punctuation_is_none() -> None:
    assert Tokenizer().tokenize("Loss: 0.42 ≤ x², (ﬁne) 𝛼!") == ["loss", "0.42", "≤", "x2", "fine", "α"]


def test_a_different_decimal_is_a_different_token() -> None:
    assert score("accuracy 0.42", "accuracy 0.17")["rouge1"] == pytest.approx(0.5)


def test_plain_english_scores_as_the_seed_scored_it() -> None:
    reference = "The models were pruned, and running times fell: state-of-the-art pruning doesn't hurt."
    answer = "Pruned model runs faster; the art of pruning does not hurt models (times fell)."
    theirs = RougeScorer(list(METRICS), use_stemmer=True).score(reference, answer)
    assert score(reference, answer) == pytest.approx({name: theirs[name].fmeasure for name in METRICS}, abs=1e-12)


@pytest.mark.parametrize(("reference", "answer"), [("", ""), ("words here", ""), ("", "words here")])
def test_nothing_scores_nothing(reference: str, answer: str) -> None:
    assert set(score(reference, answer).values()) == {0.0}
