"""`arxtune plan`: what a training would need, from a configuration alone."""

import argparse
from pathlib import Path

import pytest

from components.shared.errors import ConfigError, ModelError
from pipelines import plan
from tests.models import llama_3_8b


def arguments(base: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    plan.register(parser.add_subparsers())
    return parser.parse_args(["plan", "--base-model", str(base), *words])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("an-8b")
    llama_3_8b().save_pretrained(folder)
    return folder


def test_a_plan_names_memory_time_and_device(base: Path) -> None:
    line = plan.plan(arguments(base, "--gpu", "H100", "--memory", "80"))
    assert "1000 examples: about" in line
    assert "minutes on H100; fits into 80.0 GiB" in line
    assert "as nf4" in line


def test_what_does_not_fit_is_refused_with_the_fix(base: Path) -> None:
    words = ("--gpu", "L4", "--memory", "16", "--set", "finetune.quantisation=none")
    with pytest.raises(ModelError, match="GiB are free; set finetune"):
        plan.plan(arguments(base, *words))


def test_an_unknown_gpu_is_refused(base: Path) -> None:
    with pytest.raises(
        ConfigError, match="--gpu H1000: needs --memory, and one of these names; H200, H100 NVL"
    ):
        plan.plan(arguments(base, "--gpu", "H1000", "--memory", "80"))
