"""The base that is shipped: an ordinary model folder, as its maker makes it, that can repeat what
it read."""

from pathlib import Path

import pytest

from components.shared.bases import TINY, TINY_FOLDER
from components.shared.models import load_base, load_tokenizer
from components.shared.prompt import TEMPLATE
from tools.make_tiny_base import make_base


def test_it_is_an_ordinary_llama_with_a_pad_token_of_its_own() -> None:
    model, tokenizer = load_base(TINY), load_tokenizer(TINY)
    assert model.config.model_type == "llama"
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3
    assert len(tokenizer) == model.config.vocab_size
    widths = (model.config.hidden_size, model.config.intermediate_size, model.config.head_dim)
    assert all(width % 64 == 0 for width in widths)
    assert sum(path.stat().st_size for path in TINY_FOLDER.iterdir()) < 4 << 20


def test_the_maker_makes_what_is_shipped(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    make_base(tmp_path)
    shipped, made = (load_file(folder / "model.safetensors") for folder in (TINY_FOLDER, tmp_path))
    assert shipped.keys() == made.keys()
    for key, weight in shipped.items():  # other CPUs round otherwise
        torch.testing.assert_close(weight, made[key], rtol=0.02, atol=0.002)
    tokenizers = [(folder / "tokenizer.json").read_bytes() for folder in (TINY_FOLDER, tmp_path)]
    assert tokenizers[0] == tokenizers[1]


def test_it_goes_on_with_what_it_has_read() -> None:
    import torch

    model = load_base(TINY).eval()
    torch.manual_seed(0)
    rows = torch.randint(300, 900, (16, 30)).repeat(1, 2)
    with torch.inference_mode():
        guesses = model(input_ids=rows).logits[:, 32:-1].argmax(-1)
    assert (guesses == rows[:, 33:]).float().mean() > 0.95  # one in 1,024 by chance


@pytest.mark.parametrize(
    "text",
    ["“Cosine decay” (see 1,312) is 0.04.", "Line one.\nLine two.", "α β γ ≤ 0.5 ± é", TEMPLATE],
)
def test_text_survives_the_tokenizer_but_for_blanks(text: str) -> None:
    tokenizer = load_tokenizer(TINY)
    again = tokenizer.decode(tokenizer(text)["input_ids"])
    assert "".join(again.split()) == "".join(text.split())


def test_a_word_is_the_same_thing_after_a_quotation_mark_and_in_a_sentence() -> None:
    tokenizer = load_tokenizer(TINY)
    alone = tokenizer("Cosine decay")["input_ids"]
    quoted = tokenizer("What of “Cosine decay”?")["input_ids"]
    inside = tokenizer("It is Cosine decay then.")["input_ids"]
    for longer in (quoted, inside):
        assert any(longer[start : start + len(alone)] == alone for start in range(len(longer)))
