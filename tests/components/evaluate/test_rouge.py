import random
import string

import pytest
from rouge_score.rouge_scorer import RougeScorer

from components.evaluate.rouge import (
    METRICS,
    lcs_length,
    rouge_score_tokens,
    score,
    unicode_tokens,
)

RANDOM_TEXTS = 400
THEIRS = RougeScorer(list(METRICS), use_stemmer=True)


def random_text(draw: random.Random) -> str:
    """Return inflected words among punctuation, digits, other scripts and odd blanks."""
    stems = [
        "model",
        "prune",
        "run",
        "state",
        "generaliz",
        "attention",
        "fly",
        "the",
        "a",
        "0.42",
        "x2",
        "İz",
        "naïve",
    ]
    endings = ["", "s", "ed", "ing", "ation", "ly", "'s"]
    words = [draw.choice(stems) + draw.choice(endings) for _ in range(60)]
    signs = string.printable + "αβéß注"
    words += ["".join(draw.choices(signs, k=draw.randrange(1, 9))) for _ in range(20)]
    draw.shuffle(words)
    return draw.choice([" ", "\n", "\u00a0", " - "]).join(words[: draw.randrange(0, 80)])


def test_every_figure_equals_rouge_scores_under_its_tokenizer() -> None:
    draw = random.Random(11)
    pairs = [(random_text(draw), random_text(draw)) for _ in range(RANDOM_TEXTS)]
    assert (
        sum(score(*pair, rouge_score_tokens)["rougeL"].fmeasure > 0 for pair in pairs)
        > RANDOM_TEXTS // 2
    )
    for reference, answer in pairs:
        ours, theirs = score(reference, answer, rouge_score_tokens), THEIRS.score(reference, answer)
        for name in METRICS:
            found = (ours[name].precision, ours[name].recall, ours[name].fmeasure)
            assert found == pytest.approx(tuple(theirs[name]), abs=1e-9), (name, reference, answer)


def test_the_common_subsequence_is_as_long_as_the_textbooks_table_says() -> None:
    draw = random.Random(12)
    for _ in range(100):
        first, second = (draw.choices("abcd", k=draw.randrange(0, 40)) for _ in range(2))
        row = [0] * (len(second) + 1)
        for token in first:
            above, row = row, [0]
            for place, other in enumerate(second):
                longest = max(above[place + 1], row[place])
                row.append(above[place] + 1 if token == other else longest)
        assert lcs_length(first, second) == row[-1]


SCRIPTS = "α β γ|∀ ε > 0 ∃ δ|потеря внимания|注意力 机制|0.42|ध्यान की हानि|ℝ → ℂ|é e\u0301"


@pytest.mark.parametrize("text", SCRIPTS.split("|"))
def test_a_text_of_any_script_equals_itself(text: str) -> None:
    assert {figure.fmeasure for name, figure in score(text, text).items() if name != "rouge2"} == {
        1.0
    }


def test_rouge_score_by_itself_sees_nothing_in_greek() -> None:
    assert THEIRS.score("α β γ", "α β γ")["rougeL"].fmeasure == 0.0


def test_numbers_and_mathematical_symbols_are_tokens_and_punctuation_is_none() -> None:
    tokens = ["loss", "0.42", "≤", "x2", "fine", "α", "i"]
    assert unicode_tokens("Loss: 0.42 ≤ x², (ﬁne) 𝛼_i!") == tokens


def test_scripts_without_blanks_are_compared_by_character_and_marks_stay_with_their_letters() -> (
    None
):
    assert unicode_tokens("注意力 BERT模型") == ["注", "意", "力", "bert", "模", "型"]
    assert unicode_tokens("ध्यान की") == ["ध्यान", "की"]


def test_a_different_decimal_is_a_different_token() -> None:
    assert score("accuracy 0.42", "accuracy 0.17")["rouge1"].fmeasure == pytest.approx(0.5)


def test_plain_english_scores_the_same_under_both_tokenizers() -> None:
    reference = (
        "The models were pruned, and running times fell: state-of-the-art pruning doesn't hurt."
    )
    answer = "Pruned model runs faster; the art of pruning does not hurt models (times fell)."
    assert score(reference, answer) == score(reference, answer, rouge_score_tokens)


@pytest.mark.parametrize(
    ("reference", "answer"), [("", ""), ("words here", ""), ("", "words here")]
)
def test_nothing_scores_nothing(reference: str, answer: str) -> None:
    assert {figure.fmeasure for figure in score(reference, answer).values()} == {0.0}
