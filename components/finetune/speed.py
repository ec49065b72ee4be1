"""How fast a training is and could be: a device's peak, a model's operations a token, memory in
use."""

import copy
import resource
import time
from typing import Any

from components.finetune import distributed

# Dense bf16 TFLOP/s of the makers' data sheets, without sparsity; the longest name that fits wins.
PEAKS = {
    **{"H200": 989, "H100 NVL": 835, "H100 PCIe": 756, "H100": 989, "B200": 2250, "A100": 312},
    **{"L40S": 362, "L4": 121, "A10G": 70, "A10": 125},
    **{"RTX A6000": 155, "RTX 4090": 165, "RTX 3090": 71},
}
TIMED_FLOPS = 2e10  # about as much is spent on timing a layer


def device_name() -> str:
    """Return what the training runs on, as its maker calls it, with the number of processes that
    share the work."""
    import torch

    name = f"CPU, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
    count = distributed.world_size()
    return name if count == 1 else f"{name} x {count}"


def peak_flops(name: str) -> float:
    """Return the peak in FLOP/s that the data sheet of a GPU names; 0 for one that PEAKS does not
    know."""
    known = max((part for part in PEAKS if part in name), key=len, default="")
    return PEAKS.get(known, 0) * 1e12


def mfu(flops_per_second: float) -> float:
    """Return the share of the peak that all processes reach, at most 1.

    The peak is the data sheet's, or what a matrix product reaches here: on a CPU others may use it
    at that moment.
    """
    import torch

    peak = 0.0
    if torch.cuda.is_available():
        peak = peak_flops(torch.cuda.get_device_name())
    peak = distributed.world_size() * (peak or _measured_peak())
    return round(min(flops_per_second / peak, 1.0), 4)


def _measured_peak(size: int = 1024, seconds: float = 0.3) -> float:
    """Multiply square matrices for a moment; in float32 on a CPU, bf16 on a GPU."""
    import torch

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    matrix = torch.ones(size, size, device="cuda" if cuda else "cpu", dtype=dtype)
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, _timed(lambda: matrix @ matrix))
    return 2 * size**3 / best


def _timed(call: Any) -> float:
    import torch

    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def layer_flops(model_config: Any, rows: int, length: int) -> float:
    """Return the FLOP/s that one layer of a base reaches here on a batch of rows, forward and
    backward.

    It is made for the purpose, with random weights, and no larger a batch than TIMED_FLOPS allows.
    """
    import torch
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(model_config)
    text = small.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = 1, 64, None
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    with torch.device("cuda" if cuda else "cpu"):
        model = AutoModelForCausalLM.from_config(small, dtype=dtype).requires_grad_(False)
    model.get_input_embeddings().weight.requires_grad_(True)
    weights: int = sum(weight.numel() for weight in model.parameters())
    length = min(length, int(getattr(text, "max_position_embeddings", length)))
    rows = max(min(rows, int(TIMED_FLOPS / (4 * weights * length))), 1)
    tokens = torch.randint(0, 64, (rows, length), device=model.device)

    def step() -> None:
        model.base_model(input_ids=tokens, use_cache=False).last_hidden_state.sum().backward()

    _timed(step)
    fastest = min(_timed(step) for _ in range(3))
    return 4.0 * weights * rows * length / fastest


def flops_per_token(frozen: int, trained: int, *, layers: int, width: int, length: float) -> float:
    """Return the operations that training needs for one token of a sequence of `length` tokens.

    A weight costs 2 operations forward and 2 for the gradient of its input; a trained one 2 more
    for its own gradient
    (Kaplan et al. 2020, arXiv:2001.08361, section 2.1; frozen weights need no gradient). Causal
    attention reads half
    of the sequence: 2 x 2 x length/2 x width a layer forward, twice that backward. Embeddings are
    looked up, not
    multiplied; operations done again by gradient checkpointing are no progress and do not count.
    """
    return 4 * frozen + 6 * trained + layers * 6 * length * width


def model_flops_per_token(model: Any, length: float) -> float:
    """Return flops_per_token of a peft model; weights in 4 bits count as what they stand for."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = sum(_elements(weight) for weight in model.parameters())
    looked_up = 0
    if not config.tie_word_embeddings:
        looked_up = _elements(model.get_input_embeddings().weight)
    return flops_per_token(
        total - trained - looked_up,
        trained,
        layers=config.num_hidden_layers,
        width=heads * (getattr(config, "head_dim", None) or config.hidden_size // heads),
        length=length,
    )


def _elements(weight: Any) -> int:
    state = getattr(weight, "quant_state", None)  # bitsandbytes packs two weights into a byte
    return int(state.shape.numel()) if state is not None else int(weight.numel())


def peak_memory() -> int:
    """Return the most bytes in use so far: on the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
