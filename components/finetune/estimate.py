"""How much memory and time a training needs, estimated before any weight is loaded.

From the base's configuration alone: the model is built without memory (torch's "meta" device) and
its weights counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.finetune import speed
from components.finetune.config import FinetuneConfig
from components.finetune.recipe import ALL_LINEAR, targets_of
from components.shared.errors import ModelError

# A weight in nf4: 4 bits, 8 bits a block of 64, 32 bits for 256 blocks.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
OPTIMIZER_BYTES = 8  # a trained weight: two numbers of 4 bytes; 8-bit optimizers keep two bytes
FIXED = {True: 512 << 20, False: 900 << 20}  # on CUDA; without: with Python and its libraries
HEAD_TILE = (4096, 32768)  # tokens and vocabulary that trl's loss has logits of at a time
HEAD_TILES = {True: 1.5, False: 10.0}  # of them in memory at once, on CUDA and without
FRAGMENTS = 1.3  # what a process on a CPU holds of activations, over what is in use: as measured
USABLE = 0.95  # share of the memory that is there
# That an H100 reaches at the shape of Llama-3-8B in 4 bits, as measured (docs/performance.md).
SHARE_OF_PEAK = 0.24
EVALUATION = 1 / 3  # of a training token's cost: only forward
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
class Work:
    """What is read in an epoch."""

    tokens: int
    length: float  # of an example, on average
    longest: int
    watched: int = 0  # tokens of held-out examples

    @classmethod
    def of(cls, lengths: Sequence[int], watched: Sequence[int] = ()) -> "Work":
        """Return the work of examples of these lengths."""
        longest = max([*lengths, *watched])
        return cls(sum(lengths), sum(lengths) / len(lengths), longest, sum(watched))


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they are for."""

    weights: float
    adapter: float  # with its gradients
    optimizer: float
    activations: float
    fixed: float  # buffers, fragments and kernels

    @property
    def total(self) -> float:
        """Return the bytes needed in all."""
        return self.weights + self.adapter + self.optimizer + self.activations + self.fixed


@dataclass(frozen=True)
class Duration:
    """How long a training takes, and what that rests on."""

    seconds: float
    basis: str


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
    heads = text.num_attention_heads
    looked_up = 0 if text.tie_word_embeddings else model.get_input_embeddings().weight.numel()
    return Shape(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        width=heads * (getattr(text, "head_dim", None) or text.hidden_size // heads),
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        linear=linear,
        other=total - linear,
        looked_up=looked_up,
        adapted=adapted,
    )


def memory(config: FinetuneConfig, shape: Shape, longest: int, *, cuda: bool) -> Memory:
    """Estimate what each process needs of a fitted config whose longest example has `longest`
    tokens."""
    size = 2 if cuda else 4  # bytes of a plain weight and of an activation
    quantised = config.quantisation == "nf4"
    trained = config.lora_r * shape.adapted
    length = config.max_length if config.packing else longest
    tokens = config.batch_size * length
    layer = size * tokens * _kept_by_a_layer(config, shape, length, cuda=cuda)
    head_tokens, head_words = min(tokens, HEAD_TILE[0]), min(shape.vocabulary, HEAD_TILE[1])
    head = HEAD_TILES[cuda] * size * head_tokens * head_words + 4 * tokens * shape.hidden
    if config.gradient_checkpointing:
        activations = size * tokens * shape.hidden * shape.layers + max(layer, head)
    else:
        activations = layer * shape.layers + head
    if not cuda:
        activations *= FRAGMENTS
    return Memory(
        weights=shape.linear * (NF4_BYTES if quantised else size) + shape.other * size,
        adapter=trained * 2 * (2 if quantised else 4),
        optimizer=trained * (2 if "8bit" in config.optimizer else OPTIMIZER_BYTES),
        activations=activations,
        fixed=FIXED[cuda],
    )


def _kept_by_a_layer(config: FinetuneConfig, shape: Shape, length: int, *, cuda: bool) -> float:
    """Return the numbers that a layer keeps of each token for its backward pass.

    Counted on Llama with autograd's hooks for saved tensors. In bf16 norms are computed in
    float32; the mask of sdpa is kept as wide as a row; dropout keeps each adapter's inputs once
    more.
    """
    rank = config.lora_r
    if cuda:
        kept = 8 * shape.hidden + 6 * shape.width + 5 * shape.intermediate + 14 * rank
    else:
        kept = 4 * shape.hidden + 4 * shape.width + 4 * shape.intermediate + 7 * rank + length
    if config.lora_dropout:
        kept += 7 * max(shape.hidden, shape.width)
    return kept


def duration(
    config: FinetuneConfig, shape: Shape, work: Work, flops_per_second: float, basis: str
) -> Duration:
    """Estimate the time of a training from the FLOP/s that it can be expected to reach."""
    flops = speed.flops_per_token(
        shape.linear + shape.other - shape.looked_up,
        config.lora_r * shape.adapted,
        layers=shape.layers,
        width=shape.width,
        length=work.length,
    )
    again = 4 / 3 if config.gradient_checkpointing else 1.0  # a forward pass is a third of a step
    tokens = config.epochs * work.tokens * again + (config.epochs + 1) * work.watched * EVALUATION
    return Duration(tokens * flops / flops_per_second, basis)


def duration_on(config: FinetuneConfig, shape: Shape, work: Work, gpu: str) -> Duration:
    """Estimate the time of a training on a GPU of the data sheets."""
    basis = f"{SHARE_OF_PEAK:.0%} of the data sheet's peak"
    reached = SHARE_OF_PEAK * speed.peak_flops(gpu)
    return duration(config, shape, work, reached, basis)


def duration_here(config: FinetuneConfig, model_config: Any, shape: Shape, work: Work) -> Duration:
    """Estimate the time of a training in the processes that are here."""
    import torch

    from components.finetune.distributed import world_size

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    if speed.peak_flops(name):
        found = duration_on(config, shape, work, name)
    else:
        rows, length = config.batch_size, round(work.length)
        if config.packing:
            rows, length = 1, config.max_length
        reached = speed.layer_flops(model_config, rows, length)
        found = duration(config, shape, work, reached, "one layer of this base, timed here")
    return Duration(found.seconds / world_size(), found.basis)


def choose_checkpointing(
    config: FinetuneConfig, shape: Shape, longest: int, *, there: int, cuda: bool
) -> FinetuneConfig:
    """Return the config with gradient checkpointing decided: only where `there` bytes do not do
    without it."""
    if config.gradient_checkpointing is not None:
        return config
    without = config.changed(gradient_checkpointing=False)
    fits = memory(without, shape, longest, cuda=cuda).total <= USABLE * there
    return config.changed(gradient_checkpointing=not fits)


def lower_memory_variants(config: FinetuneConfig) -> Iterator[tuple[str, FinetuneConfig]]:
    """Yield settings that need less memory and train the same way, the cheapest first; each builds
    on the last."""
    said: list[str] = []
    steps: list[dict[str, Any]] = []
    if not config.gradient_checkpointing:
        steps.append({"gradient_checkpointing": True})
    if config.batch_size > 1:
        rows = config.batch_size * config.gradient_accumulation
        steps.append({"batch_size": 1, "gradient_accumulation": rows})
    if config.quantisation == "none":
        steps.append({"quantisation": "nf4"})
    for knobs in steps:
        config = config.changed(**knobs)
        said.extend(f"finetune.{name}={str(value).lower()}" for name, value in knobs.items())
        yield ", ".join(said), config


def check(config: FinetuneConfig, shape: Shape, longest: int, *, there: int, cuda: bool) -> Memory:
    """Return the estimate; raise ModelError with the fix when a process cannot fit into `there`
    bytes."""
    needed = memory(config, shape, longest, cuda=cuda)
    if needed.total <= USABLE * there:
        return needed
    problem = (
        f"base model {config.base_model}: training needs about {needed.total / GIB:.1f} GiB "
        f"({_parts(needed)}), and {there / GIB:.1f} GiB are free"
    )
    for settings, other in lower_memory_variants(config):
        fitting = memory(other, shape, longest, cuda=cuda).total
        if fitting <= USABLE * there:
            raise ModelError(problem, f"set {settings}: about {fitting / GIB:.1f} GiB")
    raise ModelError(problem, "use a smaller base model, or a device with more memory")


def _parts(needed: Memory) -> str:
    trained = (needed.adapter + needed.optimizer) / GIB
    return (
        f"weights {needed.weights / GIB:.2f}, adapter and optimizer {trained:.2f}, "
        f"activations {needed.activations / GIB:.2f}"
    )


def describe(config: FinetuneConfig, needed: Memory, time: Duration, device: str) -> str:
    """Return memory and time in one line."""
    minutes = f"{time.seconds / 60:.0f} minutes" if time.seconds > 90 else f"{time.seconds:.0f} s"
    how = f"weights as {config.quantisation}"
    if config.gradient_checkpointing:
        how += ", activations computed twice"
    return (
        f"about {needed.total / GIB:.1f} GiB ({_parts(needed)}; {how}) "
        f"and {minutes} on {device} (from {time.basis})"
    )
