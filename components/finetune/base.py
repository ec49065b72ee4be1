"""The model that is tuned: found by its name, with an identity and a licence."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from components.finetune.config import FinetuneConfig
from components.shared import bases
from components.shared.store import Store


@dataclass(frozen=True)
class Base:
    """The model that is tuned."""

    name: str  # what is told to people and compared between releases
    path: str  # what is loaded: a hub id or a folder
    identity: str  # changes whenever config, tokenizer, weights or revision may have changed
    licence: str


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
    return Base(name, path, bases.identity(name, commit), bases.base_terms(name))
