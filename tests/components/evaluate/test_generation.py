"""Generation: the same answers in any batch, in the order asked."""

from collections.abc import Iterable
from typing import Any

import pytest

from components.evaluate.generation import (
    TOLERANCE,
    BatchSize,
    Generation,
    generate,
    left_padded,
    losses,
)
from components.shared.errors import ModelError
from components.shared.models import load_base, load_tokenizer
from tests.models import random_llama

PROMPTS = [
    "Quote the sentence.",
    "x",
    "The routed model sends each token to two experts. Answer it.",
    "Answer: " * 9,
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = random_llama(tmp_path_factory.mktemp("base"))
    return load_base(str(folder), "none").eval(), load_tokenizer(str(folder))


def answers(
    loaded: tuple[Any, Any], prompts: list[str], batch_size: int, tokens: int = 12
) -> list[Generation]:
    return in_order(generate(*loaded, prompts, tokens, BatchSize(batch_size)))


def in_order(batches: Iterable[dict[int, Any]]) -> list[Any]:
    made: dict[int, Any] = {}
    for batch in batches:
        made |= batch
    return [made[place] for place in range(len(made))]


def test_answers_come_in_the_order_asked_whatever_the_batches(loaded: tuple[Any, Any]) -> None:
    alone = [answers(loaded, [prompt], 1)[0] for prompt in PROMPTS]
    assert len({answer.text for answer in alone}) > 1, "equal answers could not show a wrong order"
    for size in (1, 2, 3, 4):
        assert answers(loaded, PROMPTS, size) == alone


def test_no_answer_is_longer_than_asked_for(loaded: tuple[Any, Any]) -> None:
    for answer in answers(loaded, PROMPTS, 4, tokens=5):
        assert answer.tokens == 5 or answer.stopped


def test_the_end_token_is_counted_but_not_shown(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_every_answer_is_reported_once_with_its_batch(loaded: tuple[Any, Any]) -> None:
    heard = list(generate(*loaded, PROMPTS, 2, BatchSize(3)))
    assert [len(made) for made in heard] == [3, 1]
    assert sorted(place for made in heard for place in made) == [0, 1, 2, 3]
    assert list(generate(*loaded, [], 2, BatchSize(3))) == []
    assert list(losses(*loaded, [], BatchSize(3))) == []


def test_a_batch_shifts_logits_by_less_than_the_documented_tolerance(
    loaded: tuple[Any, Any],
) -> None:
    import torch

    model, tokenizer = loaded
    encoded = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    inputs = left_padded(encoded, tokenizer.pad_token_id, model.device)
    positions = (inputs["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    with torch.inference_mode():
        together = model(**inputs, position_ids=positions).logits[:, -1]
        alone = torch.stack([model(torch.tensor([ids])).logits[0, -1] for ids in encoded])
    assert (together - alone).abs().max() < TOLERANCE


def running_out(model: Any, most: int) -> Any:
    """Return a `generate` that cannot hold more than `most` prompts, as torch says it."""
    import torch

    real = model.generate

    def generate(input_ids: Any, **options: Any) -> Any:
        if len(input_ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(input_ids=input_ids, **options)

    return generate


def test_out_of_memory_halves_the_batch_and_leaves_the_answers(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = answers(loaded, PROMPTS * 2, 8)
    monkeypatch.setattr(loaded[0], "generate", running_out(loaded[0], 2))
    batch = BatchSize(8)
    heard = list(generate(*loaded, PROMPTS * 2, 12, batch))
    assert in_order(heard) == before
    assert batch.size == 2
    assert [len(made) for made in heard] == [2, 2, 2, 2]
    assert "out of memory with 8 prompts at a time: 4 from here on" in capsys.readouterr().out


def test_one_prompt_that_does_not_fit_is_an_error_of_one_line(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded[0], "generate", running_out(loaded[0], 0))
    with pytest.raises(ModelError, match="out of memory on a single example"):
        answers(loaded, PROMPTS, 4)


def test_any_other_failure_is_not_taken_for_a_lack_of_memory(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loaded[0], "generate", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        answers(loaded, PROMPTS, 4)


def test_the_batch_shrinks_to_what_memory_holds(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.evaluate.generation.available_memory", lambda: 10_000_000)
    batch = BatchSize(64)
    batch.fit(loaded[0], 1_000, 1)
    assert batch.size == 5, (
        "2 layers x 2 x 64 numbers of 4 bytes a token, and the logits: about 1 MB a prompt"
    )


def test_losses_are_those_of_the_model_on_the_completion_and_its_end(
    loaded: tuple[Any, Any],
) -> None:
    import torch

    model, tokenizer = loaded
    pairs = [
        ("Quote the sentence.", " It is"),
        ("The routed model.", " two experts sends each"),
        ("x", ""),
    ]
    found = in_order(losses(model, tokenizer, pairs, BatchSize(3)))
    for (prompt, completion), loss in zip(pairs, found, strict=True):
        ids = torch.tensor([tokenizer(prompt + completion)["input_ids"] + [tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[:, : len(tokenizer(prompt)["input_ids"])] = -100
        with torch.inference_mode():
            assert loss.total / loss.tokens == pytest.approx(
                float(model(ids, labels=labels).loss), abs=1e-4
            )
        assert loss.tokens == int((labels != -100).sum())


def test_a_loss_that_is_no_number_is_one_line_and_no_figure(loaded: tuple[Any, Any]) -> None:
    import torch

    weights = loaded[0].lm_head.weight
    kept = weights.detach().clone()
    with torch.no_grad():
        weights[0, 0] = float("nan")
    try:
        with pytest.raises(ModelError, match="loss is no number"):
            list(losses(*loaded, [("x", " y")], BatchSize(1)))
    finally:
        with torch.no_grad():
            weights.copy_(kept)
