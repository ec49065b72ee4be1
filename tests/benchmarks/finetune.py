"""Useful (completion) tokens a second of training: the seed's recipe against ours, same model, same data, same epochs.

The seed's recipe as it was: prompt and answer as one text, all of it learned, rows cut at 2,048 tokens wherever that
falls, gradient checkpointing. Ours as configured. Both losses are over the completions of papers neither has seen.
On a CPU the model is small; on an NVIDIA GPU it has Llama-3-8B's shape, with random weights, in bf16.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.finetune import recipe
from components.finetune.callbacks import Visible
from components.finetune.config import FinetuneConfig
from components.finetune.encode import Encoded, encode
from components.finetune.speed import model_flops_per_token, peak_flops, peak_memory
from components.finetune.trainer import Material, build_trainer
from components.generate.embedded import EmbeddedTeacher
from components.generate.teacher import Request
from components.generate.triples import parse
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.models import device, load_base, load_tokenizer
from components.shared.prompt import render_completion, render_prompt
from components.shared.records import Example
from tests.benchmarks.ratio import Ratio
from tests.builders import example
from tests.models import llama_3_8b
from tools.make_tiny_base import Recipe, make_base

EPOCHS, TRAINED, WATCHED = 2.0, 64, 16
SMALL = replace(Recipe(), intermediate=512, layers=4)
RATE = 1e-3


def measure() -> Iterator[Ratio]:
    """Train both ways."""
    import torch

    cuda = device() == "cuda"
    torch.set_num_threads(torch.get_num_threads() if cuda else 1)
    with tempfile.TemporaryDirectory() as name:
        base = _make(Path(name) / "base", cuda)
        encoded = encode(load_tokenizer(str(base)), _examples())
        train, watched = encoded[:TRAINED], encoded[TRAINED:]
        useful = EPOCHS * sum(one.taught for one in train)
        figures = {}
        for way, trainer in (
            ("seed", _seed(base, train, Path(name))),
            ("ours", _ours(base, train, Path(name), cuda)),
        ):
            visible = Visible()
            trainer.add_callback(visible)
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            trainer.train()
            length = sum(len(one.input_ids) for one in train) / len(train)
            flops = model_flops_per_token(trainer.model, length) * EPOCHS * length * len(train)
            figures[way] = {
                "finetune, completion tokens/s": useful / visible.seconds,
                "finetune, held-out completion loss": _loss(trainer.model, watched),
                "finetune, % of the device's peak": 100 * flops / visible.seconds / peak_flops(),
                "finetune, peak memory in GiB": peak_memory() / 2**30,
            }
            del trainer
        for what in figures["ours"] if cuda else list(figures["ours"])[:2]:
            less = "loss" in what or "memory" in what
            yield Ratio(what, figures["seed"][what], figures["ours"][what], less_is_better=less)


def _make(folder: Path, cuda: bool) -> Path:
    """Write a base model; on a GPU its weights are replaced by random ones of Llama-3-8B's shape."""
    make_base(folder, 0, SMALL)
    if cuda:
        import torch
        from transformers import LlamaForCausalLM

        with torch.device("cuda"):
            model = LlamaForCausalLM(llama_3_8b(pad_token_id=0, bos_token_id=1, eos_token_id=2)).to(
                torch.bfloat16
            )
        model.save_pretrained(folder)
    return folder


def _examples() -> list[Example]:
    found, teacher = [], EmbeddedTeacher()
    for path in sorted(SAMPLES.glob("*.txt")):
        sections = parse_sections(path.read_text("utf-8"))
        text = "\n\n".join(
            paragraph for _heading, paragraphs in sections for paragraph in paragraphs
        )
        request = Request(paper=path.stem, version=1, page=1, text=text, seed=0)
        for draft in parse(teacher.ask(teacher.payload(request)).text) or []:
            prompt = render_prompt(draft.instruction, draft.input)
            found.append(
                example(paper=path.stem, prompt=prompt, completion=render_completion(draft.output))
            )
    return found[: TRAINED + WATCHED]


def _knobs(cuda: bool) -> dict[str, Any]:
    quantisation = (
        {"quantisation": "none"} if cuda else {"quantisation": "none", "optimizer": "adamw_torch"}
    )
    return {
        "epochs": EPOCHS,
        "lora_r": 64 if cuda else 16,
        "learning_rate": RATE,
        "warmup_steps": 0,
        **quantisation,
    }


def _ours(base: Path, train: list[Encoded], folder: Path, cuda: bool) -> Any:
    # On a CPU short rows are padded, for attention there costs the square of a packed row; 16 examples a step, as there
    config = FinetuneConfig(**_knobs(cuda), gradient_checkpointing=False, packing=cuda)
    return build_trainer(config, Material(str(base), train), folder / "ours")


def _seed(base: Path, train: list[Encoded], folder: Path) -> Any:
    from datasets import Dataset
    from trl import SFTTrainer

    cuda = device() == "cuda"
    config = FinetuneConfig(**_knobs(cuda))
    arguments = recipe.arguments(config, folder / "seed")
    arguments.packing_strategy = "wrapped"
    model = load_base(str(base), "none")
    return SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(
            [{"input_ids": one.input_ids, "labels": one.input_ids} for one in train]
        ),
        processing_class=load_tokenizer(str(base)),
        peft_config=recipe.lora(config, model),
    )


def _loss(model: Any, encoded: list[Encoded]) -> float:
    import torch

    model.eval()
    total = count = 0.0
    with torch.inference_mode():
        for one in encoded:
            ids, labels = (
                torch.tensor([part], device=model.device) for part in (one.input_ids, one.labels)
            )
            logits = model(input_ids=ids).logits[0, :-1].float()
            total += float(
                torch.nn.functional.cross_entropy(
                    logits, labels[0, 1:], ignore_index=-100, reduction="sum"
                )
            )
            count += one.taught
    return total / count
