"""Tell what a training would need, before anything is fetched, paid for or loaded: `arxtune plan`."""

import argparse
from pathlib import Path

from pipelines.profile import make_profile


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune plan` to the command line."""
    parser = commands.add_parser(
        "plan", help="estimate memory and time of a training, without starting it"
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
    from components.finetune import preflight
    from components.finetune.config import FinetuneConfig
    from components.finetune.speed import PEAKS, device_name, peak_flops
    from components.shared.errors import ConfigError
    from components.shared.models import device, load_config

    if arguments.gpu and (arguments.gpu not in PEAKS or not arguments.memory):
        raise ConfigError(
            f"--gpu {arguments.gpu}: needs --memory, and one of these names", ", ".join(PEAKS)
        )
    base = arguments.base_model
    profile = make_profile(arguments.config, {"base_model": base}, arguments.set)
    config = FinetuneConfig.build({"base_model": base}, profile.settings.get("finetune", {}))
    cuda = bool(arguments.gpu) or device() == "cuda"
    there = int(arguments.memory * preflight.GIB) or preflight.available()
    shape = preflight.shape_of(load_config(base))
    needed = preflight.check(config, shape, arguments.tokens, there=there, cuda=cuda)
    peak = PEAKS[arguments.gpu] * 1e12 if arguments.gpu else peak_flops()
    tokens = arguments.examples * arguments.tokens
    duration = preflight.seconds(config, shape, tokens, arguments.tokens, peak)
    quantisation = preflight.settled(config, cuda=cuda).quantisation
    text = preflight.describe(needed, duration, arguments.gpu or device_name(), quantisation)
    return (
        f"{base}, {arguments.examples} examples: {text}; fits into {there / preflight.GIB:.1f} GiB"
    )
