"""Preflight: how much memory and time a training needs, estimated before any weight is loaded.

From the base's configuration alone: the model is built without memory (torch's "meta" device) and its weights counted.
The estimate is of what a training allocates; a process also needs about half a GiB for Python and its libraries.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.finetune.config import FinetuneConfig
from components.finetune.processes import count_here
from components.finetune.recipe import ALL_LINEAR, targets_of
from components.finetune.speed import flops_per_token
from components.shared.errors import ConfigError, ModelError
from components.shared.models import device

NF4_BYTES = (
    0.5 + 1 / 64 + 4 / (64 * 256)
)  # a weight: 4 bits, 8 bits a block of 64, 32 bits for 256 blocks
OPTIMIZER_BYTES = {
    "adamw_8bit": 2,
    "paged_adamw_8bit": 2,
}  # a trained weight; others keep two numbers of 4 bytes
FIXED = 256 << 20  # bytes for buffers, fragments and kernels
USABLE = 0.95  # share of the memory that is there
ASSUMED_MFU = 0.35  # before anything is measured
GIB = 2**30


@dataclass(frozen=True)
class Shape:
    """What of a model's configuration decides the cost."""

    layers: int
    hidden: int
    width: int  # of all attention heads together
    intermediate: int
    vocabulary: int
    linear: int  # weights of the layers' projections: what nf4 shrinks
    other: int  # embeddings, head and norms
    looked_up: int  # of these, embeddings that are never multiplied
    adapted: (
        int  # inputs plus outputs of all adapted projections: weights of the adapter for each rank
    )


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for."""

    weights: float
    adapter: float  # with its gradients
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """Return the bytes needed in all."""
        return self.weights + self.adapter + self.optimizer + self.activations + FIXED


def shape_of(model_config: Any) -> Shape:
    """Count the weights of a model without making them."""
    import torch
    from transformers import AutoModelForCausalLM

    text = model_config.get_text_config()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config)
    linear = adapted = 0
    targets = targets_of(model)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            linear += module.weight.numel()
            if targets == ALL_LINEAR or name.rsplit(".", 1)[-1] in targets:
                adapted += module.in_features + module.out_features
    total = sum(weight.numel() for weight in model.parameters())
    embeddings = model.get_input_embeddings().weight.numel()
    heads = text.num_attention_heads
    return Shape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        width=heads * (getattr(text, "head_dim", None) or text.hidden_size // heads),
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        linear=linear,
        other=total - linear,
        looked_up=0 if text.tie_word_embeddings else embeddings,
        adapted=adapted,
    )


def settled(config: FinetuneConfig, *, cuda: bool) -> FinetuneConfig:
    """Return the config with its quantisation decided: auto is nf4 on CUDA, unless the base is shared out."""
    if config.quantisation != "auto":
        return config
    return config.changed(quantisation="nf4" if cuda and config.sharding != "fsdp" else "none")


def place(
    config: FinetuneConfig, shape: Shape, longest: int, *, there: int, cuda: bool, processes: int
) -> FinetuneConfig:
    """Return the config with its sharding decided: auto is fsdp where a process cannot hold the whole training."""
    if processes == 1:
        return config.changed(sharding="ddp")
    if config.sharding == "fsdp" and config.quantisation == "nf4":
        fix = "set finetune.quantisation=none, or finetune.sharding=ddp"
        raise ConfigError("finetune.sharding=fsdp: weights in 4 bits cannot be shared out", fix)
    if config.sharding != "auto":
        return config
    if config.quantisation == "nf4":
        return config.changed(sharding="ddp")
    whole = memory(settled(config, cuda=cuda), shape, longest, cuda=cuda)
    return config.changed(sharding="ddp" if whole.total <= USABLE * there else "fsdp")


def memory(
    config: FinetuneConfig, shape: Shape, longest: int, *, cuda: bool, processes: int = 1
) -> Memory:
    """Estimate what each process of a training needs whose longest row has `longest` tokens."""
    size = 2 if cuda else 4  # bytes of a plain weight and of an activation
    quantised = settled(config, cuda=cuda).quantisation == "nf4"
    trained = config.lora_r * shape.adapted
    tokens = config.batch_size * (config.max_length if config.packing else longest)
    layer = (
        size
        * tokens
        * (8 * shape.hidden + 6 * shape.width + 5 * shape.intermediate + 14 * config.lora_r)
    )
    if config.lora_dropout:
        layer += (
            size * tokens * 7 * max(shape.hidden, shape.width)
        )  # each adapter drops inputs of its own
    if not cuda:
        layer += (
            4 * config.batch_size * shape.width // 64 * longest**2
        )  # attention keeps its scores
    kept = (
        size * tokens * shape.hidden * shape.layers
        if config.gradient_checkpointing
        else layer * shape.layers
    )
    head = (
        3 * 4 * min(tokens, 1024) * shape.vocabulary
    )  # logits of a piece of the tokens, in float32
    weights = shape.linear * (NF4_BYTES if quantised else size) + shape.other * size
    if (
        config.sharding == "fsdp"
    ):  # beside its part a process holds two layers whole, and embeddings and head
        weights = weights / processes + size * (2 * shape.linear / shape.layers + shape.other)
    return Memory(
        weights=weights,
        adapter=trained * 2 * 4,
        optimizer=trained * OPTIMIZER_BYTES.get(config.optimizer if cuda else "", 8),
        activations=kept + layer + head,
    )


def seconds(config: FinetuneConfig, shape: Shape, tokens: int, length: float, peak: float) -> float:
    """Estimate the time of a training on `tokens` tokens an epoch, at a usual share of the device's peak FLOP/s."""
    flops = flops_per_token(
        shape.linear + shape.other - shape.looked_up,
        config.lora_r * shape.adapted,
        layers=shape.layers,
        width=shape.width,
        length=length,
    )
    again = (
        1.5 if config.gradient_checkpointing else 1.0
    )  # the forward pass, a third of the whole here, twice
    return config.epochs * tokens * flops * again / (peak * ASSUMED_MFU)


def available() -> int:
    """Return the bytes that this process may use: free on its GPU, or its part of this container or machine."""
    if device() == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    limit = group / "memory.max"
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(
            stat["file"]
        )  # cached files make room when asked
        free = min(free, int(text) - used)
    return free // count_here()


def easier(config: FinetuneConfig) -> Iterator[tuple[str, FinetuneConfig]]:
    """Yield settings that need less memory and train the same way, the cheapest first; each builds on the last."""
    said: list[str] = []

    def with_(**knobs: Any) -> tuple[str, FinetuneConfig]:
        nonlocal config
        config = config.changed(**knobs)
        said.extend(f"finetune.{name}={str(value).lower()}" for name, value in knobs.items())
        return ", ".join(said), config

    if not config.gradient_checkpointing:
        yield with_(gradient_checkpointing=True)
    if config.batch_size > 1:
        rows = config.batch_size * config.gradient_accumulation
        yield with_(batch_size=1, gradient_accumulation=rows)
    if config.quantisation == "none":
        yield with_(
            quantisation="nf4", **({"sharding": "ddp"} if config.sharding == "fsdp" else {})
        )


def check(
    config: FinetuneConfig,
    shape: Shape,
    longest: int,
    *,
    there: int,
    cuda: bool,
    processes: int = 1,
) -> Memory:
    """Return the estimate; raise ModelError with the fix when a process cannot fit into `there` bytes."""
    config = settled(config, cuda=cuda)
    needed = memory(config, shape, longest, cuda=cuda, processes=processes)
    if needed.total <= USABLE * there:
        return needed
    problem = (
        f"base model {config.base_model}: training needs about {needed.total / GIB:.1f} GiB "
        f"{f'in each of {processes} processes ' if processes > 1 else ''}"
        f"(weights {needed.weights / GIB:.1f}, adapter and optimizer {(needed.adapter + needed.optimizer) / GIB:.1f}, "
        f"activations {needed.activations / GIB:.1f}), and {there / GIB:.1f} GiB are free"
    )
    for settings, other in easier(config):
        if (
            fitting := memory(other, shape, longest, cuda=cuda, processes=processes).total
        ) <= USABLE * there:
            raise ModelError(problem, f"set {settings}: about {fitting / GIB:.1f} GiB")
    raise ModelError(problem, "use a smaller base model, or a device with more memory")


def describe(needed: Memory, duration: float, device: str, quantisation: str) -> str:
    """Return the plan in one line; `duration` is in seconds."""
    return (
        f"about {needed.total / GIB:.1f} GiB (weights {needed.weights / GIB:.2f} as {quantisation}, adapter and "
        f"optimizer {(needed.adapter + needed.optimizer) / GIB:.2f}, activations {needed.activations / GIB:.2f}) and "
        f"{duration / 60:.0f} minutes on {device}"
    )
