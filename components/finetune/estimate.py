"""How much memory and time a training needs, estimated before any weight is loaded.

From the base's configuration alone: the model is built without memory (torch's "meta" device) and
its weights counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from components.finetune import speed
from components.finetune.config import FinetuneConfig
from components.finetune.distributed import world_size
from components.finetune.recipe import ALL_LINEAR, targets_of
from components.shared.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

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
    adapted: int  # inputs plus outputs of the adapted projections: the adapter's weights a rank

    def flops_per_token(self, trained: int, length: float) -> float:
        """Return the operations that training needs for one token of `length` that are read
        together.

        A weight costs 2 operations forward and 2 for the gradient of its input; a trained one 2
        more for its own. Attention compares each token with half of the others: 2 x 2 x length/2 x
        width a layer forward, twice that backward. Embeddings are looked up, not multiplied;
        operations done again by gradient checkpointing are no progress and do not count.
        """
        frozen = self.linear + self.other - self.looked_up
        return 4 * frozen + 6 * trained + self.layers * 6 * length * self.width


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

    def parts(self) -> str:
        """Return the largest parts in words."""
        trained = (self.adapter + self.optimizer) / GIB
        return (
            f"weights {self.weights / GIB:.2f}, adapter and optimizer {trained:.2f}, "
            f"activations {self.activations / GIB:.2f}"
        )


@dataclass(frozen=True)
class Plan:
    """A config with all settled, and what its training will need."""

    config: FinetuneConfig
    memory: Memory
    seconds: float
    basis: str  # what the time rests on

    def describe(self, device: str) -> str:
        """Return memory and time in one line."""
        time = f"{self.seconds:.0f} s"
        if self.seconds > 90:
            time = f"{self.seconds / 60:.0f} minutes"
        how = f"weights as {self.config.quantisation}"
        if self.config.gradient_checkpointing:
            how += ", activations computed twice"
        needed = f"about {self.memory.total / GIB:.1f} GiB ({self.memory.parts()}; {how})"
        return f"{needed} and {time} on {device} (from {self.basis})"


def shape_of(model_config: "PretrainedConfig") -> Shape:
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
    looked_up = 0
    if not text.tie_word_embeddings:
        looked_up = model.get_input_embeddings().weight.numel()
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
    """Estimate what a process needs of a fitted config, by the tokens of the longest example."""
    size = 2 if cuda else 4  # bytes of a plain weight and of an activation
    weight, gradient = float(size), 4
    if config.quantisation == "nf4":
        weight, gradient = NF4_BYTES, 2
    optimizer = 2 if "8bit" in config.optimizer else OPTIMIZER_BYTES
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
        weights=shape.linear * weight + shape.other * size,
        adapter=trained * 2 * gradient,
        optimizer=trained * optimizer,
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


def duration(config: FinetuneConfig, shape: Shape, work: Work, flops_per_second: float) -> float:
    """Estimate the seconds of a training in the processes that are here, at FLOP/s of each."""
    flops = shape.flops_per_token(config.lora_r * shape.adapted, work.length)
    tokens = config.epochs * work.tokens
    if config.gradient_checkpointing:
        tokens *= 4 / 3  # a forward pass is a third of a step
    tokens += (config.epochs + 1) * work.watched * EVALUATION
    return tokens * flops / flops_per_second / world_size()


def expected_flops(
    config: FinetuneConfig, model_config: "PretrainedConfig", work: Work, gpu: str
) -> tuple[float, str]:
    """Return the FLOP/s to expect on a GPU (else, or one of no data sheet, here), and their
    basis."""
    if peak := speed.peak_flops(gpu):
        return SHARE_OF_PEAK * peak, f"{SHARE_OF_PEAK:.0%} of the data sheet's peak"
    rows, length = config.batch_size, round(work.length)
    if config.packing:
        rows, length = 1, config.max_length
    reached = speed.layer_flops(model_config, rows, length)
    return reached, "one layer of this base, timed here"


def spend_memory(
    config: FinetuneConfig,
    shape: Shape,
    longest: int,
    *,
    there: int,
    cuda: bool,
    rows_open: bool = False,
) -> FinetuneConfig:
    """Return the config with checkpointing decided, and rows at a time where they are open.

    As many rows at a time as `there` bytes hold without computing activations twice; else the
    same with it. The rows of a step stay.
    """
    if config.gradient_checkpointing is not None:
        return config
    step, rows = config.batch_size * config.gradient_accumulation, [config.batch_size]
    while rows_open and rows[-1] % 2 == 0:
        rows.append(rows[-1] // 2)
    for twice, batch in product((False, True), rows):
        tried = config.changed(
            gradient_checkpointing=twice, batch_size=batch, gradient_accumulation=step // batch
        )
        if memory(tried, shape, longest, cuda=cuda).total <= USABLE * there:
            return tried
    return tried


def check(config: FinetuneConfig, shape: Shape, longest: int, *, there: int, cuda: bool) -> Memory:
    """Return the estimate; raise ModelError with the fix where `there` bytes are too few."""
    needed = memory(config, shape, longest, cuda=cuda)
    if needed.total <= USABLE * there:
        return needed
    problem = (
        f"base model {config.base_model}: training needs about {needed.total / GIB:.1f} GiB "
        f"({needed.parts()}), and {there / GIB:.1f} GiB are free"
    )
    said: list[str] = []
    for knobs in _savings(config):
        config = config.changed(**knobs)
        for name, value in knobs.items():
            said.append(f"finetune.{name}={str(value).lower()}")
        fitting = memory(config, shape, longest, cuda=cuda).total
        if fitting <= USABLE * there:
            raise ModelError(problem, f"set {', '.join(said)}: about {fitting / GIB:.1f} GiB")
    raise ModelError(problem, "use a smaller base model, or a device with more memory")


def _savings(config: FinetuneConfig) -> list[dict[str, object]]:
    """Return knobs that save memory and train the same way, the cheapest first."""
    found: list[dict[str, object]] = []
    if not config.gradient_checkpointing:
        found.append({"gradient_checkpointing": True})
    if config.batch_size > 1:
        rows = config.batch_size * config.gradient_accumulation
        found.append({"batch_size": 1, "gradient_accumulation": rows})
    if config.quantisation == "none":
        found.append({"quantisation": "nf4"})
    return found


def make_plan(
    config: FinetuneConfig,
    model_config: "PretrainedConfig",
    work: Work,
    *,
    there: int,
    cuda: bool,
    gpu: str,
    rows_open: bool,
) -> Plan:
    """Return what a fitted config needs; raise ModelError where `there` bytes are too few."""
    shape = shape_of(model_config)
    config = spend_memory(config, shape, work.longest, there=there, cuda=cuda, rows_open=rows_open)
    needed = check(config, shape, work.longest, there=there, cuda=cuda)
    flops, basis = expected_flops(config, model_config, work, gpu)
    return Plan(config, needed, duration(config, shape, work, flops), basis)
