"""How fast a training is and could be: the device's name and peak, a model's operations a token, peak memory."""

import resource
import time
from typing import Any

from components.finetune import processes

# Dense bf16 TFLOP/s of the makers' data sheets, without sparsity; the longest name that fits wins.
PEAKS = {
    "H200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "B200": 2250,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "A10": 125,
    "RTX A6000": 155,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "T4": 65,
}


def device_name() -> str:
    """Return what the training runs on, as its maker calls it, with the number of processes that share the work."""
    import torch

    name = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    return name if processes.count() == 1 else f"{name} x {processes.count()}"


def peak_flops() -> float:
    """Return the peak in FLOP/s of all processes' devices: from the data sheet, or what a matrix product reaches."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        known = max((part for part in PEAKS if part in name), key=len, default="")
        if known:
            return PEAKS[known] * 1e12 * processes.count()
    return _measured_peak() * processes.count()


def _measured_peak(size: int = 1024, seconds: float = 0.2) -> float:
    """Multiply square matrices for a moment; in float32 on a CPU, bf16 on a GPU."""
    import torch

    cuda = torch.cuda.is_available()
    matrix = torch.ones(
        size,
        size,
        device="cuda" if cuda else "cpu",
        dtype=torch.bfloat16 if cuda else torch.float32,
    )
    matrix @ matrix
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        matrix @ matrix
        if cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def flops_per_token(frozen: int, trained: int, *, layers: int, width: int, length: float) -> float:
    """Return the operations that training needs for one token of a sequence of `length` tokens.

    A weight costs 2 operations forward and 2 for the gradient of its input; a trained one 2 more for its own gradient
    (Kaplan et al. 2020, arXiv:2001.08361, section 2.1; frozen weights need no gradient). Causal attention reads half
    of the sequence: 2 x 2 x length/2 x width a layer forward, twice that backward. Embeddings are looked up, not
    multiplied; operations done again by gradient checkpointing are no progress and do not count.
    """
    return 4 * frozen + 6 * trained + layers * 6 * length * width


def model_flops_per_token(model: Any, length: float) -> float:
    """Return flops_per_token of a peft model; weights in 4 bits count as what they stand for."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = sum(_elements(weight) for weight in model.parameters())
    embeddings = model.get_input_embeddings().weight
    looked_up = 0 if config.tie_word_embeddings else _elements(embeddings)
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
