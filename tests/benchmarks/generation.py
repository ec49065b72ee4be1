"""Answers a second of a small model: one prompt at a time, as in the
reference project, against sorted batches that end early.

Both answer greedily up to the same limit. Answers are compared too: text, tokens and whether the
model stopped.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import BatchSize, Generation, generate
from components.shared.models import load_base, load_tokenizer
from tests.benchmarks.ratio import Ratio
from tests.models import random_llama

PROMPTS, NEW_TOKENS = 200, 48


def measure() -> Iterator[Ratio]:
    """Answer the same prompts both ways."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        folder = random_llama(Path(name))
        model, tokenizer = load_base(str(folder)), load_tokenizer(str(folder))
        prompts = [
            f"The model reads {'very ' * (number % 7)}long text number {number}."
            for number in range(PROMPTS)
        ]

        started = time.perf_counter()
        one_by_one = []
        with torch.inference_mode():
            for prompt in prompts:
                tokens = tokenizer(prompt, return_tensors="pt")
                pad = tokenizer.pad_token_id
                output = model.generate(
                    **tokens, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=pad
                )
                new = output[0, tokens["input_ids"].shape[1] :].tolist()
                text = tokenizer.decode(new, skip_special_tokens=True).strip()
                one_by_one.append(Generation(text, len(new), tokenizer.eos_token_id in new))
        seed = PROMPTS / (time.perf_counter() - started)

        started = time.perf_counter()
        batched: dict[int, Generation] = {}
        batch = BatchSize(EvaluateConfig().batch_size)
        for made in generate(model, tokenizer, prompts, NEW_TOKENS, batch):
            batched |= made
        ours = PROMPTS / (time.perf_counter() - started)
        same = sum(answer == batched[place] for place, answer in enumerate(one_by_one))
        print(f"{same} of {PROMPTS} answers are the same both ways")
        yield Ratio("generation, answers/s", seed, ours)
