"""What the Job of --component gpu-check runs, as far as a CPU can; on a GPU by `make test-gpu`."""

import subprocess
import sys

import pytest

from components.finetune import gpu_check

COMMAND = [sys.executable, "-m", "components.finetune.gpu_check"]


def test_a_product_in_four_bits_is_near_the_exact_one() -> None:
    gpu_check.try_four_bits("cpu")


@pytest.mark.skipif(gpu_check.torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_fails_in_one_line() -> None:
    result = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("FAIL no GPU: driver, device plugin")


@pytest.mark.gpu
def test_a_gpu_passes_every_check() -> None:
    result = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok ") == 3
