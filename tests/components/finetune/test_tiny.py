"""The small Llama made on the spot: an ordinary model folder, the same every time, that can repeat what it read."""

from dataclasses import replace
from pathlib import Path

import pytest

from components.finetune.tiny import Recipe, make_base, recipe_hash
from components.shared.models import load_base, load_tokenizer
from components.shared.prompt import TEMPLATE
from components.shared.records import file_digest

NARROW = replace(Recipe(), intermediate=64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_base(folder, seed=1)
    return folder


def test_it_is_an_ordinary_llama_with_a_pad_token_of_its_own(made: Path) -> None:
    model, tokenizer = load_base(str(made)), load_tokenizer(str(made))
    assert model.config.model_type == "llama"
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3
    assert len(tokenizer) == model.config.vocab_size
    widths = (model.config.hidden_size, model.config.intermediate_size, model.config.head_dim)
    assert all(width % 64 == 0 for width in widths)


def test_the_same_seed_makes_the_same_weights(made: Path, tmp_path: Path) -> None:
    make_base(tmp_path, seed=1)
    assert file_digest(tmp_path / "model.safetensors") == file_digest(made / "model.safetensors")
    assert recipe_hash(1) == recipe_hash(1) != recipe_hash(2)
    assert recipe_hash(1, NARROW) != recipe_hash(1)


def test_it_goes_on_with_what_it_has_read(made: Path) -> None:
    import torch

    model = load_base(str(made)).eval()
    torch.manual_seed(0)
    rows = torch.randint(300, 900, (16, 30)).repeat(1, 2)
    with torch.inference_mode():
        guesses = model(input_ids=rows).logits[:, 32:-1].argmax(-1)
    assert (guesses == rows[:, 33:]).float().mean() > 0.95  # one in 1,024 by chance


@pytest.mark.parametrize(
    "text",
    ["“Cosine decay” (see 1,312) is 0.04.", "Line one.\nLine two.", "α β γ ≤ 0.5 ± é", TEMPLATE],
)
def test_text_survives_the_tokenizer_but_for_blanks(made: Path, text: str) -> None:
    tokenizer = load_tokenizer(str(made))
    again = tokenizer.decode(tokenizer(text)["input_ids"])
    assert again.split() == text.split() or "".join(again.split()) == "".join(text.split())


def test_a_word_is_the_same_thing_after_a_quotation_mark_and_in_a_sentence(made: Path) -> None:
    tokenizer = load_tokenizer(str(made))
    alone = tokenizer("Cosine decay")["input_ids"]
    quoted = tokenizer("What of “Cosine decay”?")["input_ids"]
    inside = tokenizer("It is Cosine decay then.")["input_ids"]
    for longer in (quoted, inside):
        assert any(longer[start : start + len(alone)] == alone for start in range(len(longer)))
