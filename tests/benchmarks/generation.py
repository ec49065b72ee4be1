"""Answers a second of a small model: one prompt at a time up to the limit, against sorted batches with early stop."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from components.evaluate.generation import generate
from components.shared.models import load_base, load_tokenizer
from tests.benchmarks.ratio import Ratio
from tests.models import random_llama

PROMPTS, NEW_TOKENS = 64, 48


def measure() -> Iterator[Ratio]:
    """Answer the same prompts greedily both ways."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        folder = random_llama(Path(name))
        model, tokenizer = load_base(str(folder)), load_tokenizer(str(folder))
        prompts = [f"The model reads {'very ' * (number % 7)}long text number {number}." for number in range(PROMPTS)]

        started = time.perf_counter()
        with torch.inference_mode():
            for prompt in prompts:
                tokens = tokenizer(prompt, return_tensors="pt")
                model.generate(**tokens, max_new_tokens=NEW_TOKENS, pad_token_id=tokenizer.pad_token_id)
        seed = PROMPTS / (time.perf_counter() - started)

        started = time.perf_counter()
        generate(model, tokenizer, prompts, max_new_tokens=NEW_TOKENS, batch_size=32)
        yield Ratio("generation, answers/s", seed, PROMPTS / (time.perf_counter() - started))
