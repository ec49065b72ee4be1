"""Check and measure what only an NVIDIA GPU shows, in the order of someone who has one for an hour:
`make test-gpu`.

Cheap checks come first, each builds on the ones before it, and every line is in the report as soon
as it is known.
Speeds are of a model of Llama-3-8B's shape with random weights, which nothing has to be fetched
for.
"""

import argparse
import contextlib
import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.finetune import estimate, recipe, speed
from components.finetune.config import FinetuneConfig
from components.finetune.core import finetune
from components.finetune.encode import IGNORE, Encoded, encode
from components.finetune.train import Data, build_trainer, fitted
from components.shared.models import attach_adapter, load_base, load_config, load_tokenizer
from components.shared.records import write_records
from tests.benchmarks.reference import reference_trainer
from tests.builders import example
from tests.models import llama_3_8b, random_llama

SMALL: dict[str, Any] = {
    "max_length": 256,
    "lora_r": 8,
    "learning_rate": 5e-3,
    "epochs": 4.0,
    "held_out": 0.25,
}
GIB = 2**30
OURS = "ours, 2 x 8"  # what the plan settles on with 80 GiB


@dataclass
class Bench:
    """What the checks share: folders, the size of the large model, and the report."""

    scratch: Path
    report: Path
    layers: int
    steps: int
    failed: int = 0

    def write(self, line: str) -> None:
        """Add a line to the report and print it."""
        print(line, flush=True)
        with self.report.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def check(self, what: Callable[["Bench"], str]) -> None:
        """Run one check; a failure is a line of the report, and the next check runs."""
        title = (what.__doc__ or what.__name__).splitlines()[0].rstrip(".")
        started = time.monotonic()
        try:
            found, mark = what(self), "ok"
        except Exception as error:
            traceback.print_exc()
            found, mark = f"{type(error).__name__}: {str(error)[:400]}", "FAILED"
            self.failed += 1
        self.write(f"- {mark}: {title} ({time.monotonic() - started:.0f} s). {found}")


def device(bench: Bench) -> str:
    """The GPU computes in bf16, and the table says how it trains."""
    import torch

    found = recipe.this_device()
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    assert torch.cuda.is_bf16_supported(including_emulation=False)
    return f"{torch.cuda.get_device_name()}, compute capability {capability}: {found}"


def compiler(bench: Bench) -> str:
    """Triton compiles here, and trl's fused loss is that of plain torch."""
    import torch
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    recipe.check_compiler()
    torch.manual_seed(0)
    hidden = torch.randn(512, 256, device="cuda", dtype=torch.bfloat16)
    weight = torch.randn(1024, 256, device="cuda", dtype=torch.bfloat16) / 16
    targets = torch.randint(0, 1024, (512,), device="cuda")
    fused = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, 256)[0]
    plain = -torch.nn.functional.cross_entropy(
        hidden.float() @ weight.float().T, targets, reduction="none"
    )
    off = float((fused - plain).norm() / plain.norm())
    assert off < 1e-2, off
    return f"relative difference {off:.1e}"


def learns(bench: Bench) -> str:
    """The stage trains in 4 bits with the paged 8-bit optimizer, and the held-out loss falls."""
    made = run_stage(bench, "whole")
    assert made["quantisation"] == "nf4"
    assert made["optimizer"] == ("paged_adamw_8bit" if made["processes"] == 1 else "adamw_8bit")
    losses = made["held_out_losses"]
    assert losses[-1] < 0.9 * losses[0], losses
    assert 0 <= made["mfu"] <= 1
    return f"held-out losses {losses}, {made['steps']} steps, {made['processes']} processes"


def stops_and_goes_on(bench: Bench) -> str:
    """Ctrl-C saves a checkpoint, from which the same command goes on to the same loss."""
    whole = run_stage(bench, "whole")
    folder = bench.scratch / "stopped"
    command = [sys.executable, "-m", "components.finetune", "--checkpoint-minutes", "0"]
    for name, value in stage_arguments(bench, folder).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(command, start_new_session=True)
    while not list(folder.glob("store/checkpoints/*/*/manifest.json")) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    status = process.wait(120)
    assert status == 128 + signal.SIGINT, status
    subprocess.run(command, check=True)
    again = json.loads((folder / "adapter/adapter.json").read_text())
    same = again["adapter_digest"] == whole["adapter_digest"]
    assert abs(again["held_out_loss"] - whole["held_out_loss"]) < 0.05 * whole["held_out_loss"]
    losses = f"{again['held_out_loss']:.4f} and {whole['held_out_loss']:.4f}"
    return f"held-out losses {losses}; bit for bit the same: {same}"


def reloads(bench: Bench) -> str:
    """The adapter on a fresh 4-bit base gives the loss that training ended with."""
    import torch

    whole, base = run_stage(bench, "whole"), small_base(bench)
    model = attach_adapter(load_base(base), bench.scratch / "whole/adapter/weights", "tuned").eval()
    total = count = 0.0
    for one in small_examples(base):
        ids, labels = (torch.tensor([part]).cuda() for part in (one.input_ids, one.labels))
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum")
        total, count = total + float(loss), count + one.taught
    mean = total / count
    assert abs(mean - whole["held_out_loss"]) < 0.25 * whole["held_out_loss"], mean
    return f"{mean:.4f} on all examples, held-out {whole['held_out_loss']:.4f}"


def packing(bench: Bench) -> str:
    """Packing changes neither loss nor gradient, whatever the attention."""
    import torch

    kinds = ["sdpa", "auto", "flex_attention"]  # auto: varlen where rows are packed
    if find_spec("flash_attn"):
        kinds.append("flash_attention_2")
    base, found = small_base(bench), {}
    for kind in kinds:
        losses, slopes = [], []
        for packed in (False, True):
            knobs = {"packing": packed, "attention": kind, "quantisation": "none"}
            knobs |= {"lora_dropout": 0.0, "batch_size": 64, "gradient_accumulation": 1}
            config = FinetuneConfig(**SMALL | knobs)
            data = Data(small_examples(base))
            trainer = build_trainer(config, base, data, bench.scratch / "packing")
            trainer.model.eval()  # no dropout
            taught = sum(one.taught for one in data.train)
            loss = 0.0
            for batch in trainer.get_train_dataloader():
                rows = trainer._prepare_inputs(batch)
                part = trainer.compute_loss(trainer.model, rows, num_items_in_batch=taught)
                part.backward()
                loss += float(part.detach())
            losses.append(loss)
            trained = [one.grad for one in trainer.model.parameters() if one.grad is not None]
            slopes.append(float(torch.nn.utils.get_total_norm(trained)))
        assert abs(losses[0] - losses[1]) < 2e-2 * losses[0], (kind, losses)
        assert abs(slopes[0] - slopes[1]) < 5e-2 * slopes[0], (kind, slopes)
        found[kind] = [round(figure, 4) for figure in losses + slopes]
    return f"apart and packed, loss and norm of its gradient: {found}"


CHECKS = (device, compiler, learns, stops_and_goes_on, reloads, packing)


def small_base(bench: Bench) -> str:
    """Return the folder of the small model; it is written once."""
    base = bench.scratch / "small"
    if not base.exists():
        random_llama(base)
    return str(base)


def small_examples(base: str) -> list[Encoded]:
    """Return 96 short examples of 8 papers as tokens."""
    return encode(load_tokenizer(base), small_records())


def small_records() -> list[Any]:
    found = []
    for n in range(96):
        fields = {"prompt": f"Say {n}.\n", "completion": f"It is {n}."}
        found.append(example(triple=f"t{n}", paper=f"p{n % 8}", **fields))
    return found


def stage_arguments(bench: Bench, folder: Path) -> dict[str, Any]:
    """Return the stage's arguments for the small model, with a store of its own."""
    base = small_base(bench)
    write_records(folder / "train/examples.jsonl", small_records())
    knobs = {"store": str(folder / "store"), "base_model": base, **SMALL, "packing": False}
    places = {"train": folder / "train", "adapter": folder / "adapter"}
    return {**places, "curve": folder / "page.html", **knobs}


def run_stage(bench: Bench, name: str) -> dict[str, Any]:
    """Return adapter.json of the small model's training; it is trained once."""
    folder = bench.scratch / name
    if not (folder / "adapter/adapter.json").exists():
        given = stage_arguments(bench, folder)
        train, adapter, page = (given.pop(key) for key in ("train", "adapter", "curve"))
        config = FinetuneConfig.build(given)
        finetune(config, train, adapter, page)
    made: dict[str, Any] = json.loads((folder / "adapter/adapter.json").read_text())
    return made


def make_large(bench: Bench) -> Path:
    """Write a model of Llama-3-8B's shape with random weights."""
    import torch
    from transformers import LlamaForCausalLM

    folder = bench.scratch / "large"
    random_llama(folder)  # for its tokenizer
    (folder / "model.safetensors").unlink()
    ids = {"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1}
    shape = llama_3_8b(num_hidden_layers=bench.layers, **ids)
    with torch.device("cuda"):
        model = LlamaForCausalLM._from_config(shape, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    return folder


def large_data(rows: int) -> Data:
    """Return short examples, a fifth of each taught, that pack into about `rows` rows."""
    choose = random.Random(0)
    found = []
    for number in range(rows * 2048 // 302):
        length = choose.randint(150, 450)
        ids = [choose.randint(3, 300) for _ in range(length)]
        labels = [IGNORE] * (length - length // 5) + ids[length - length // 5 :]
        found.append(Encoded(f"t{number}", "p", ids, labels))
    return Data(found)


def variants() -> dict[str, dict[str, Any]]:
    """Return what is compared, by name: knobs of our recipe, or the reference recipe."""
    one = {"batch_size": 1, "gradient_accumulation": 16}
    two = {"batch_size": 2, "gradient_accumulation": 8}
    four = {"batch_size": 4, "gradient_accumulation": 4}
    twice, once = {"gradient_checkpointing": True}, {"gradient_checkpointing": False}
    found = {
        OURS: two | once,
        "reference recipe": {"recipe": "reference"},
        "ours, 4 x 4, activations twice": four | twice,
        "ours, 1 x 16": one | once,
        "ours, 1 x 16, activations twice": one | twice,
    }
    if find_spec("flash_attn"):
        found["ours, 2 x 8, flash-attn"] = two | once | {"attention": "flash_attention_2"}
    return found


def speeds(bench: Bench) -> str:
    """Tokens a second, share of the peak and memory of each recipe, at the shape of Llama-3-8B."""
    import torch

    base = str(make_large(bench))
    data = large_data(16 * bench.steps)
    shape_config = load_config(base)
    shape = estimate.shape_of(shape_config)
    work = estimate.Work.of(data.lengths)
    gpu = torch.cuda.get_device_name()
    columns = "tokens/s | completion tokens/s | MFU | peak GiB | estimated GiB | s | estimated s"
    bench.write(f"\n| recipe | {columns} |\n|---|--:|--:|--:|--:|--:|--:|--:|")
    reached: dict[str, float] = {}
    problems = []
    for name, knobs in variants().items():
        gc.collect()  # a trainer holds itself in circles
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        left = torch.cuda.memory_allocated()  # of the recipes before: a matrix of the head each
        config = FinetuneConfig(**{"epochs": 1.0, "lora_dropout": 0.1, **knobs})
        make = reference_trainer if "recipe" in knobs else build_trainer
        with contextlib.suppress(torch.OutOfMemoryError):
            trainer = make(config, base, data, bench.scratch / "speeds")
            trainer.train()
            figures = figures_of(trainer, data)
            settled, _ = fitted(config, base, data)
            needed = estimate.memory(settled, shape, work.longest, cuda=True)
            flops, _ = estimate.expected_flops(settled, shape_config, work, gpu)
            expected = estimate.duration(settled, shape, work, flops)
            peak = (torch.cuda.max_memory_allocated() - left) / GIB
            trained = settled.lora_r * shape.adapted
            share = speed.mfu(shape.flops_per_token(trained, work.length) * figures[0])
            measured = work.tokens / figures[0]
            bench.write(
                f"| {name} | {figures[0]:,.0f} | {figures[1]:,.0f} | {share:.1%} | {peak:.1f} "
                f"| {needed.total / GIB:.1f} | {measured:.0f} | {expected:.0f} |"
            )
            reached[name] = figures[0]
            if "ours" in name and not peak <= needed.total / GIB <= 1.2 * peak:
                problems.append(f"{name}: the memory is not within 20% above the peak")
            if "ours" in name and not 0.5 <= expected / measured <= 2:
                problems.append(f"{name}: the time is not right within a factor of 2")
            trainer.accelerator.free_memory()
            del trainer
    bench.write("")
    if reached[OURS] < reached["reference recipe"]:
        problems.append("ours is slower than the reference recipe")
    assert not problems, "; ".join(problems)
    work_done = f"{bench.steps} steps of 16 rows of 2,048 tokens, the first not counted"
    return f"{bench.layers} layers, {work_done}"


def figures_of(trainer: Any, data: Data) -> tuple[float, float]:
    """Return tokens and completion tokens a second after the first step, which compiles kernels."""
    rows = [row for row in trainer.state.log_history if "loss" in row]
    seconds = rows[-1]["seconds"] - rows[0]["seconds"]
    tokens = rows[-1]["num_input_tokens_seen"] - rows[0]["num_input_tokens_seen"]
    read = sum(data.lengths)
    taught = sum(one.taught for one in data.train)
    return tokens / seconds, tokens / seconds * taught / read


def scratch_folder() -> Iterator[Path]:
    """Yield a folder in memory where there is room for the large model, else on disk."""
    import shutil

    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 24 * GIB
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as name:
        yield Path(name)


def main() -> int:
    """Run every check and return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("build/gpu.md"))
    parser.add_argument("--layers", type=int, default=32, help="of the large model")
    parser.add_argument("--steps", type=int, default=6, help="of 16 rows, for each recipe")
    parser.add_argument("--only", default="", help="checks by name, separated by commas")
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        sys.exit("make test-gpu needs an NVIDIA GPU")
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text("", "utf-8")
    every = (*CHECKS, speeds)
    names = given.only.split(",") if given.only else [one.__name__ for one in every]
    chosen = [one for one in every if one.__name__ in names]
    for folder in scratch_folder():
        bench = Bench(folder, given.report, given.layers, given.steps)
        libraries = ("torch", "transformers", "trl", "peft", "bitsandbytes")
        versions = ", ".join(f"{name} {version(name)}" for name in libraries)
        bench.write(f"# arxtune on {torch.cuda.get_device_name()}\n\n{versions}\n")
        for what in chosen:
            bench.check(what)
    return bench.failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
