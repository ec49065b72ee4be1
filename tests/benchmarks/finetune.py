"""Useful (completion) tokens a second of training: the reference project's recipe against ours,
same model and data.

The reference recipe as it was: prompt and answer as one text, all of it learned, rows cut at 2,048
tokens wherever that
falls, gradient checkpointing. Ours as configured. Both losses are over the completions of papers
neither has seen.
On an NVIDIA GPU `make test-gpu` does the same with a model of Llama-3-8B's shape.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.finetune.encode import Encoded, encode
from components.finetune.train import Data, build_trainer
from components.generate.embedded import EmbeddedTeacher
from components.generate.teacher import Request
from components.generate.triples import parse
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared import bases
from components.shared.models import load_tokenizer
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example
from tests.benchmarks.ratio import Ratio
from tests.benchmarks.reference import reference_trainer
from tests.builders import example

TRAINED, WATCHED = 64, 16
KNOBS: dict[str, Any] = {
    "epochs": 2.0,
    "lora_r": 16,
    "learning_rate": 1e-3,
    "warmup_steps": 0,
    "max_length": 1024,
}


def measure() -> Iterator[Ratio]:
    """Train both ways."""
    import torch

    torch.set_num_threads(1)
    base = str(bases.TINY_FOLDER)
    encoded = encode(load_tokenizer(base), quoting_examples())
    data, watched = Data(encoded[:TRAINED]), encoded[TRAINED:]
    # On a CPU short rows are padded, for attention there costs the square of a packed row; 16
    # examples a step, as there.
    knobs = {"packing": False, "batch_size": 4, "gradient_accumulation": 4}
    ours = FinetuneConfig(**KNOBS, **knobs, gradient_checkpointing=False)
    with tempfile.TemporaryDirectory() as name:
        mine = build_trainer(ours, base, data, Path(name) / "ours")
        theirs = reference_trainer(FinetuneConfig(**KNOBS), base, data, Path(name) / "reference")
        useful = KNOBS["epochs"] * sum(one.taught for one in data.train)
        speeds, losses = [], []
        for trainer in (theirs, mine):
            trainer.train()
            speeds.append(useful / trainer.progress.seconds)
            losses.append(held_out_loss(trainer.model, watched))
    yield Ratio("finetune, completion tokens/s", *speeds)
    yield Ratio("finetune, held-out completion loss", *losses, less_is_better=True)


def quoting_examples(most: int = TRAINED + WATCHED) -> list[Example]:
    found, teacher = [], EmbeddedTeacher()
    for path in sorted(SAMPLES.glob("*.txt")):
        sections = parse_sections(path.read_text("utf-8"))
        text = "\n\n".join("\n\n".join(paragraphs) for _heading, paragraphs in sections)
        request = Request(paper=path.stem, version=1, page=1, text=text, seed=0)
        for draft in parse(teacher.ask(teacher.payload(request)).text) or []:
            prompt = render_prompt(draft.instruction, draft.input)
            answer = render_completion(draft.output)
            found.append(example(paper=path.stem, prompt=prompt, completion=answer))
    return found[:most]


def held_out_loss(model: Any, encoded: Sequence[Encoded]) -> float:
    import torch

    model.eval()
    total = count = 0.0
    for one in encoded:
        ids, labels = torch.tensor([one.input_ids]), torch.tensor([one.labels])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum"))
        count += one.taught
    return total / count
