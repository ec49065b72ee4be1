"""`arxtune plan`: what a training would need, from a configuration alone."""

import argparse
from pathlib import Path

import pytest

from components.finetune.config import FinetuneConfig
from components.shared.errors import ConfigError, ModelError
from pipelines import plan
from pipelines.profile import make_profile
from tests.models import llama_3_8b, random_llama


def planned(base: Path, *words: str) -> str:
    parser = argparse.ArgumentParser()
    plan.register(parser.add_subparsers())
    return plan.plan(parser.parse_args(["plan", "--base-model", str(base), *words]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tokenizer and the configuration of an 8B model; its weights are never
    read."""
    folder = random_llama(tmp_path_factory.mktemp("an-8b"))
    llama_3_8b().save_pretrained(folder)
    return folder


def test_a_plan_names_steps_memory_time_and_device(base: Path) -> None:
    line = planned(base, "--gpu", "H100", "--memory", "80")
    assert "1000 examples: 167 rows, 2 x 4 to a step: 21 steps an epoch, 3 epochs" in line
    assert "weights as nf4" in line
    assert "minutes on H100 (from 24% of the data sheet's peak); fits into 80.0 GiB" in line


def test_the_reference_recipe_takes_fewer_steps_and_more_memory(base: Path) -> None:
    words = ("--gpu", "H100", "--memory", "80", "--set", "finetune.recipe=reference")
    line = planned(base, *words)
    assert "167 rows, 4 x 4 to a step: 11 steps an epoch, 3 epochs, 5 steps of warm-up" in line


def test_a_plan_for_here_times_a_layer_of_the_base(tmp_path: Path) -> None:
    line = planned(random_llama(tmp_path), "--examples", "40", "--tokens", "100")
    assert "on CPU" in line
    assert "from one layer of this base, timed here" in line
    assert "512" not in line, "rows are no longer than the base has positions for"


def test_a_cpu_gets_a_recipe_of_its_own_unless_told_otherwise(base: Path) -> None:
    settings = FinetuneConfig.build({"base_model": str(base), "epochs": 2})
    assert (settings.lora_r, settings.epochs, settings.max_examples) == (16, 2, 120)
    assert FinetuneConfig.build({"base_model": "tiny"}).lora_r == FinetuneConfig().lora_r == 64
    origins = {
        name: origin for name, _, origin in make_profile(None, {"base_model": "x/y"}, []).rows()
    }
    assert origins["finetune.lora_r"] == "default of this machine"


def test_what_does_not_fit_is_refused_with_the_fix(base: Path) -> None:
    words = ("--gpu", "L4", "--memory", "16", "--set", "finetune.quantisation=none")
    with pytest.raises(ModelError, match="GiB are free; set finetune"):
        planned(base, *words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--gpu", "H1000", "--memory", "80"), "--gpu H1000: needs --memory, and one of these"),
        (("--gpu", "H100"), "--gpu H100: needs --memory"),
        (("--gpu", "H100", "--memory", "nan"), "--gpu H100: needs --memory"),
        (("--gpu", "T4", "--memory", "16"), r"T4 \(compute capability 7.5\) has neither bf16"),
        (("--gpu", "V100", "--memory", "32"), r"V100 \(compute capability 7.0\) has neither bf16"),
        (("--gpu", "RTX 2080", "--memory", "8"), r"RTX 2080 \(compute capability 7.5\) has"),
        (("--examples", "0"), "--examples 0: must be between"),
        (("--tokens", "-5"), "--tokens -5: must be between"),
    ],
)
def test_what_cannot_be_planned_is_one_line(base: Path, words: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        planned(base, *words)
