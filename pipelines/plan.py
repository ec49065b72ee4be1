"""Tell what a training would need, before anything is fetched or paid for: `arxtune plan`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.profile import make_profile

if TYPE_CHECKING:
    from components.finetune.config import FinetuneConfig
    from components.finetune.recipe import Device


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune plan` to the command line."""
    parser = commands.add_parser(
        "plan", help="estimate steps, memory and time of a training, without starting it"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings, as `arxtune run` takes them"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.KNOB=VALUE", help="any setting"
    )
    parser.add_argument("--base-model", required=True, metavar="NAME", help="hub id or folder")
    parser.add_argument(
        "--examples", type=int, default=1000, metavar="N", help="training examples (default: 1000)"
    )
    parser.add_argument(
        "--tokens", type=int, default=300, metavar="N", help="tokens of an example (default: 300)"
    )
    parser.add_argument(
        "--gpu", default="", metavar="NAME", help="plan for this GPU, such as H100, instead of here"
    )
    parser.add_argument(
        "--memory", type=float, default=0, metavar="GIB", help="its memory (default: free here)"
    )
    parser.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    print(plan(arguments))


def plan(arguments: argparse.Namespace) -> str:
    """Return the estimate; raise ModelError with the fix when the training would not fit."""
    from components.finetune.config import FinetuneConfig

    examples, tokens, gpu = arguments.examples, arguments.tokens, arguments.gpu
    check_counts(examples, tokens)
    base = arguments.base_model
    profile = make_profile(arguments.config, {"base_model": base}, arguments.set)
    settings = {"base_model": base, **profile.settings.get("finetune", {})}
    # What this machine implies does not count on another one.
    config = FinetuneConfig(**settings) if gpu else FinetuneConfig.build(settings)
    return training_plan(config, examples, tokens, gpu, arguments.memory)


def training_plan(
    config: "FinetuneConfig", examples: int, tokens: int, gpu: str = "", memory: float = 0
) -> str:
    """Return the estimate for so many examples of so many tokens, here or on a GPU by name with
    `memory` GiB."""
    from components.finetune import estimate, recipe
    from components.finetune.speed import device_name, gpu_name
    from components.shared.memory import available_memory
    from components.shared.models import load_config

    base, device = config.base_model, device_of(gpu, memory)
    model_config = load_config(base)
    rows_open = not config.batch_size
    config, rows = recipe.resolve(config, model_config, [tokens] * examples, device)
    there = int(memory * estimate.GIB) or available_memory()
    made = estimate.make_plan(
        config,
        model_config,
        estimate.Work.of([tokens] * examples),
        there=there,
        cuda=device.precision == "bf16",
        gpu=gpu or gpu_name(),
        rows_open=rows_open,
    )
    text = made.describe(gpu or device_name())
    fits = f"fits into {there / estimate.GIB:.1f} GiB"
    return f"{base}, {examples} examples: {recipe.describe(made.config, rows)}; {text}; {fits}"


def check_counts(examples: int, tokens: int) -> None:
    """Raise ConfigError for counts that no training can have."""
    from components.shared.errors import ConfigError

    for flag, value in (("--examples", examples), ("--tokens", tokens)):
        if not 1 <= value <= 10**7:
            raise ConfigError(f"{flag} {value}: must be between 1 and 10,000,000")


def device_of(gpu: str, memory: float) -> "Device":
    """Return how a training runs on a GPU by name, or here; raise ConfigError where it cannot."""
    from components.finetune.recipe import OLD_GPUS, device_for, this_device
    from components.finetune.speed import PEAKS
    from components.shared.errors import ConfigError

    for name, capability in OLD_GPUS.items():
        if gpu.startswith(name):
            device_for(capability, name=gpu)
    if not gpu:
        return this_device()
    if gpu not in PEAKS or not 0 < memory < 10**6:
        known = ", ".join(PEAKS)
        raise ConfigError(f"--gpu {gpu}: needs --memory, and one of these names", known)
    return device_for((8, 0))
