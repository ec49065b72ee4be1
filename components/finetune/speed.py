"""How fast a training is and could be: a device's peak, operations a token, memory in use."""

import copy
import resource
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from components.finetune import distributed

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

# Dense bf16 TFLOP/s of the makers' data sheets, without sparsity; the longest name that fits wins.
PEAKS = {
    **{"H200": 989, "H100 NVL": 835, "H100 PCIe": 756, "H100": 989, "B200": 2250, "A100": 312},
    **{"L40S": 362, "L4": 121, "A10G": 70, "A10": 125},
    **{"RTX A6000": 155, "RTX 4090": 165, "RTX 3090": 71},
}
TIMED_FLOPS = 2e10  # about as much is spent on timing a layer


def device_name() -> str:
    """Return what is trained on, as its maker calls it, with the number of processes."""
    import torch

    name = gpu_name() or f"CPU, {torch.get_num_threads()} threads"
    count = distributed.world_size()
    return name if count == 1 else f"{name} x {count}"


def gpu_name() -> str:
    """Return the GPU's name; nothing without one."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


def peak_flops(name: str) -> float:
    """Return the peak FLOP/s of a GPU's data sheet; 0 for one that PEAKS does not know."""
    known = max((part for part in PEAKS if part in name), key=len, default="")
    return PEAKS.get(known, 0) * 1e12


def mfu(flops_per_second: float) -> float:
    """Return the share of the peak that all processes reach, at most 1.

    The peak is the data sheet's, or what a matrix product reaches here: on a CPU others may use it
    at that moment.
    """
    peak = distributed.world_size() * (peak_flops(gpu_name()) or _measured_peak())
    return round(min(flops_per_second / peak, 1.0), 4)


def _measured_peak(size: int = 1024, seconds: float = 0.3) -> float:
    """Multiply square matrices for a moment; in float32 on a CPU, bf16 on a GPU."""
    import torch

    device, dtype = _device()
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, _timed(lambda: matrix @ matrix))
    return 2 * size**3 / best


def _device() -> tuple[str, "torch.dtype"]:
    import torch

    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


def _timed(call: Callable[[], object]) -> float:
    import torch

    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def layer_flops(model_config: "PretrainedConfig", rows: int, length: int) -> float:
    """Return the FLOP/s of one layer of a base here on a batch of rows, forward and backward.

    It is made for the purpose, with random weights, and no larger a batch than TIMED_FLOPS allows.
    """
    import torch
    from transformers import AutoModelForCausalLM

    small = copy.deepcopy(model_config)
    text = small.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = 1, 64, None
    device, dtype = _device()
    with torch.device(device):
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


def peak_memory() -> int:
    """Return the most bytes in use so far: on the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
