"""Text becomes the same tokens wherever it is read, whatever a tokenizer puts before, between or
after."""

from typing import Any

import pytest

from components.shared.prompt import IGNORE, encode, encode_prompt


def tokenizer(template: str = "$A", prepend: str = "always") -> Any:
    """Return one as Llama 2 has it: a blank before the first word, and what `template` says
    around."""
    from tokenizers import Tokenizer, models
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "[SEP]", "<unk>", "▁Say", "▁it.", "It", "▁It", "▁is."]
    known = {word: number for number, word in enumerate(words)}
    fast = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    fast.pre_tokenizer = Metaspace(prepend_scheme=prepend)
    special = [(word, known[word]) for word in words[:3]]
    fast.post_processor = TemplateProcessing(single=template, special_tokens=special)
    found = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>")
    found.split_special_tokens = True
    return found


@pytest.mark.parametrize(
    ("template", "opens"),
    [("$A", []), ("<s> $A", [0]), ("<s> $A </s>", [0]), ("$A </s>", []), ("<s> $A [SEP]", [0])],
)
def test_a_prompt_is_open_and_a_completion_ends(template: str, opens: list[int]) -> None:
    made = encode(tokenizer(template), "Say it.", "It is.")
    assert made.prompt == [*opens, 4, 5]
    assert made.completion == [7, 8, 1]
    assert made.prompt == encode_prompt(tokenizer(template), "Say it.")
    assert made.input_ids == made.prompt + made.completion
    assert made.labels == [IGNORE] * len(made.prompt) + made.completion
    assert len(made) == len(made.input_ids)


@pytest.mark.parametrize("template", ["<s> $A </s>", "$A", "$A </s>"])
def test_plain_text_begins_at_the_begin_token_and_is_not_ended(template: str) -> None:
    assert encode(tokenizer(template), "", "It is.").input_ids == [0, 7, 8]


def test_without_a_begin_token_plain_text_begins_at_the_end_token() -> None:
    made = tokenizer("$A")
    made.bos_token = None
    assert encode(made, "", "It is.").input_ids == [1, 7, 8]
