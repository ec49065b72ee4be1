"""Generation: answers in the order asked, the same whatever they share a batch with, ended by their own end token."""

from typing import Any

import pytest

from components.evaluate.generation import Generation, generate
from components.shared.models import load_base, load_tokenizer
from tests.models import random_llama

PROMPTS = ["Quote the sentence.", "x", "The routed model sends each token to two experts. Answer it.", "Answer: " * 9]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = random_llama(tmp_path_factory.mktemp("base"))
    return load_base(str(folder), "none").eval(), load_tokenizer(str(folder))


def answers(loaded: tuple[Any, Any], prompts: list[str], batch_size: int, tokens: int = 12) -> list[Generation]:
    return generate(*loaded, prompts, tokens, batch_size)


def test_answers_come_in_the_order_asked_whatever_the_batches(loaded: tuple[Any, Any]) -> None:
    alone = [answers(loaded, [prompt], 1)[0] for prompt in PROMPTS]
    assert len({answer.text for answer in alone}) > 1, "equal answers could not show a wrong order"
    for size in (1, 2, 3, 4):
        assert answers(loaded, PROMPTS, size) == alone


def test_no_answer_is_longer_than_asked_for(loaded: tuple[Any, Any]) -> None:
    for answer in answers(loaded, PROMPTS, 4, tokens=5):
        assert answer.tokens == 5 or answer.stopped


def test_the_end_token_is_counted_but_not_shown(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model, tokenizer = loaded
    end, word = tokenizer.eos_token_id, tokenizer.encode("text", add_special_tokens=False)

    def one_ends(input_ids: Any, **options: Any) -> Any:
        ended = [*word, end, *[tokenizer.pad_token_id] * 3]
        endless = (word * 9)[: len(ended)]
        return torch.cat([input_ids, torch.tensor([ended, endless])], dim=1)

    monkeypatch.setattr(model, "generate", one_ends)
    first, second = answers(loaded, ["a longer prompt comes first", "x"], 2)
    assert (first.text, first.tokens, first.stopped) == ("text", len(word) + 1, True)
    assert not second.stopped


def test_every_answer_is_reported_once(loaded: tuple[Any, Any]) -> None:
    heard: list[int] = []
    generate(*loaded, PROMPTS, 2, 3, heard.append)
    assert heard == [3, 1]
    assert generate(*loaded, [], 2, 3, heard.append) == []
