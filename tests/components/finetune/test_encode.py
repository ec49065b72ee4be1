"""Random examples as tokens: the loss covers completion and end alone, and nothing is cut."""

import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from components.finetune.config import FinetuneConfig
from components.finetune.encode import IGNORE, Encoded, encode, split_by_length
from components.finetune.train import Data, build_trainer
from components.shared.models import load_tokenizer
from components.shared.prompt import encode_prompt
from components.shared.records import Example
from tests.builders import example

ALPHABET = [
    *"abc XYZ.,;:()\n\t\"“”'-0123456789αβ≤±é漢🙂",
    "</s>",
    "<s>",
    "<pad>",
    "### Response:\n",
    "token",
    " the ",
]
CASES = 300
POST_PROCESSORS = {
    "plain": "",
    "opens with a token": "<s> $A",
    "closes with the end token": "<s> $A </s>",
}


def random_examples(seed: int, count: int = CASES) -> list[Example]:
    choose = random.Random(seed)

    def text(shortest: int, longest: int) -> str:
        return "".join(choose.choices(ALPHABET, k=choose.randint(shortest, longest)))

    return [
        example(triple=str(n), prompt=text(1, 40), completion=text(0, 20)) for n in range(count)
    ]


@pytest.fixture(scope="module", params=[*sorted(POST_PROCESSORS), "tiny"])
def tokenizer(request: pytest.FixtureRequest, base: Path) -> Any:
    if request.param == "tiny":
        return load_tokenizer("tiny")
    found = load_tokenizer(str(base))
    if template := POST_PROCESSORS[request.param]:
        special = [("<s>", found.bos_token_id), ("</s>", found.eos_token_id)]
        found.backend_tokenizer.post_processor = TemplateProcessing(
            single=template, special_tokens=special
        )
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_the_mask_covers_exactly_the_completion_and_its_end_token(
    tokenizer: Any, seed: int
) -> None:
    examples = random_examples(seed)
    for given, made in zip(examples, encode(tokenizer, examples), strict=True):
        prompt = encode_prompt(tokenizer, given.prompt)
        assert made.input_ids[: len(prompt)] == prompt  # what evaluation will read
        assert tokenizer.eos_token_id not in prompt
        assert made.labels[: len(prompt)] == [IGNORE] * len(prompt)
        assert made.labels[len(prompt) :] == made.input_ids[len(prompt) :]
        assert made.labels[-1] == tokenizer.eos_token_id
        assert made.labels.count(tokenizer.eos_token_id) == 1, (
            "an end token written in a paper is text"
        )
        assert tokenizer.pad_token_id not in made.input_ids
        again = tokenizer.decode(made.labels[len(prompt) : -1])
        assert "".join(again.split()) == "".join(given.completion.split())


def test_every_example_is_kept_whole_or_counted(tokenizer: Any) -> None:
    encoded = encode(tokenizer, random_examples(3))
    for limit in (1, 20, 40, 10_000):
        fitting, too_long = split_by_length(encoded, limit)
        assert sorted(e.triple for e in [*fitting, *too_long]) == sorted(e.triple for e in encoded)
        assert all(len(e.input_ids) <= limit for e in fitting)
        assert all(len(e.input_ids) > limit for e in too_long)


@pytest.mark.parametrize("seed", range(3))
def test_packing_changes_no_token_and_no_label(base: Path, tmp_path: Path, seed: int) -> None:
    encoded = encode(load_tokenizer(str(base)), random_examples(seed, 60))
    limit = random.Random(seed).choice([128, 200, 512])
    fitting, _ = split_by_length(encoded, limit)
    packed = _rows(_trainer(base, fitting, tmp_path, packing=True, max_length=limit))
    assert max(len(row["input_ids"]) for row in packed) <= limit
    apart = []
    for row in packed:
        start = 0
        for length in row["seq_lengths"]:
            apart.append(
                (row["input_ids"][start : start + length], row["labels"][start : start + length])
            )
            start += length
        assert start == len(row["input_ids"])
    assert sorted(apart) == sorted((e.input_ids, e.labels) for e in fitting)


@pytest.mark.parametrize("packing", [True, False])
def test_what_the_model_is_taught_is_what_was_encoded(
    base: Path, tmp_path: Path, packing: bool
) -> None:
    fitting, _ = split_by_length(encode(load_tokenizer(str(base)), random_examples(7, 60)), 256)
    fitting = [
        e for e in fitting if e.labels[0] == IGNORE
    ]  # a first token has nothing before it to be foretold from
    trainer = _trainer(base, fitting, tmp_path, packing=packing, max_length=256)
    taught = [
        label
        for rows in trainer.get_train_dataloader()
        for label in rows["labels"].flatten().tolist()
    ]
    wanted = [label for e in fitting for label in e.labels]
    assert sorted(label for label in taught if label != IGNORE) == sorted(
        label for label in wanted if label != IGNORE
    )


def _trainer(base: Path, encoded: list[Encoded], folder: Path, **knobs: Any) -> Any:
    config = FinetuneConfig(lora_r=2, **knobs)
    return build_trainer(config, str(base), Data(encoded), folder)


def _rows(trainer: Any) -> list[dict[str, list[int]]]:
    return list(trainer.train_dataset)
