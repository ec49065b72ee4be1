"""Say what the GPU here can do: python -m components.finetune.gpu_check, as --component gpu-check.

Training on a GPU compiles a Triton kernel at its first step, which takes a C compiler and a folder
whose files may be executed; training in 4 bits takes a kernel of bitsandbytes. Both are tried
here, before hours of other work.
"""

import sys

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # a build of torch without CUDA
    triton = None

SIZE = 1024

if triton:

    @triton.jit  # type: ignore[untyped-decorator]
    def add(left, right, total, size: tl.constexpr):  # type: ignore[no-untyped-def]
        """Add two vectors."""
        offsets = tl.arange(0, size)
        tl.store(total + offsets, tl.load(left + offsets) + tl.load(right + offsets))


def try_triton(device: str = "cuda") -> None:
    """Compile and launch a kernel that adds two vectors; raise unless the sum is right."""
    if not triton:
        raise ImportError("there is no triton: this torch is built for the CPU")
    left, right = torch.rand(2, SIZE, device=device)
    total = torch.empty_like(left)
    add[(1,)](left, right, total, size=SIZE)
    torch.testing.assert_close(total, left + right)


def try_four_bits(device: str = "cuda") -> None:
    """Multiply by a matrix in NF4; raise unless the product is near the exact one."""
    import bitsandbytes

    matrix = torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16)
    rows = torch.randn(8, SIZE, device=device, dtype=torch.bfloat16)
    packed, state = bitsandbytes.functional.quantize_4bit(matrix, quant_type="nf4")
    exact = rows @ matrix.t()
    error = (bitsandbytes.matmul_4bit(rows, packed.t(), quant_state=state) - exact).norm()
    if not error < 0.2 * exact.norm():
        raise ArithmeticError(f"relative error {float(error / exact.norm()):.2f}")


def main() -> None:
    """Print a line for each check; end with 1 when one fails."""
    if not torch.cuda.is_available():
        sys.exit("FAIL no GPU: driver, device plugin and the limit nvidia.com/gpu are all needed")
    properties = torch.cuda.get_device_properties(0)
    name, memory = properties.name, properties.total_memory / 2**30
    print(
        f"ok   {name}, {memory:.0f} GiB, compute capability {properties.major}.{properties.minor}"
    )
    failed = False
    for what, check in (("a Triton kernel", try_triton), ("a 4-bit product", try_four_bits)):
        try:
            check()
            print(f"ok   {what}")
        except Exception as error:  # whatever breaks a check is what it has found
            print(f"FAIL {what}: {type(error).__name__}: {error}")
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
