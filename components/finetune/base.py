"""The model that is tuned, and what its kind brings along: a recipe, and a limit of examples."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.finetune.config import CPU_RECIPE, FinetuneConfig
from components.shared import bases
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import Example, read_records
from components.shared.store import Store
from components.shared.subset import spread


@dataclass(frozen=True)
class Base:
    """The model that is tuned."""

    name: str  # what is told to people and compared between releases
    path: str  # what is loaded: a hub id or a folder
    identity: str  # changes whenever config, tokenizer, weights or revision may have changed
    licence: str
    cutoff: str = ""  # last day of what it may have read, YYYY-MM-DD, where its card tells


def prepare_base(config: FinetuneConfig, store: Store, adapter: Path) -> Base:
    """Return the base model; of the tiny one a release carries a copy, from adapter/base."""
    name = config.base_model
    if name == bases.TINY:
        identity, folder = bases.identity(name), adapter / "base"
        shutil.copytree(bases.TINY_FOLDER, folder, dirs_exist_ok=True)
        return Base(f"tiny-llama-{identity[:12]}", str(folder), identity, "Apache-2.0")
    from components.shared.models import load_config, revision

    commit = revision(load_config(name))
    path = name if bases.is_folder(name) or not commit else f"{name.partition('@')[0]}@{commit}"
    identity = bases.identity(name, commit)
    return Base(name, path, identity, bases.base_terms(name), bases.base_cutoff(name))


def choose_examples(
    config: FinetuneConfig, examples: Sequence[Example], ledger: Ledger
) -> list[Example]:
    """Return at most max_examples to train on; tell of them, and of the CPU recipe."""
    if bases.tuned_on_cpu(config.base_model) and config.recipe == "fitted":
        taken = [
            f"{name}={value}"
            for name, value in CPU_RECIPE.items()
            if value == getattr(config, name)
        ]
        say("finetune", f"recipe for a real base on a CPU: {', '.join(taken)}")
    chosen = spread(examples, config.max_examples)
    kept = {example.triple for example in chosen}
    left_out = [example.triple for example in examples if example.triple not in kept]
    for triple in left_out:
        ledger.drop(triple, f"beyond max_examples={config.max_examples}")
    if left_out:
        fix = "--set finetune.max_examples=0 takes all"
        say("finetune", f"training on {len(chosen)} of {len(examples)} examples: {fix}")
    return chosen


def with_text(config: FinetuneConfig, examples: Sequence[Example], texts: Path) -> list[Example]:
    """Return the examples and, behind them, so much plain text that it is text_share of all."""
    wanted = round(len(examples) * config.text_share / (1 - config.text_share))
    if not wanted:
        return [*examples]
    if not texts.exists():
        say("finetune", f"no plain text is mixed in: there is no {texts.name} beside the examples")
        return [*examples]
    chosen = spread(list(read_records(texts, Example)), wanted)
    say("finetune", f"{len(chosen)} passages of the papers are mixed in as plain text")
    return [*examples, *chosen]
