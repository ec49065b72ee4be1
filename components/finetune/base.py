"""The model that is tuned: one from the hub or a folder, or the small Llama made on the spot."""

from dataclasses import dataclass
from pathlib import Path

from components.finetune.config import TINY, FinetuneConfig
from components.shared.licences import model_licence
from components.shared.progress import say
from components.shared.records import digest, file_digest
from components.shared.store import Store


@dataclass(frozen=True)
class Base:
    """The model that is tuned."""

    name: str  # what is told to people and compared between releases
    path: str  # what is loaded: a hub id or a folder
    identity: str  # changes whenever its weights may have changed
    licence: str


def prepare_base(config: FinetuneConfig, store: Store, adapter: Path) -> Base:
    """Return the base model; the tiny one is made, or fetched from the store, into adapter/base."""
    if config.base_model != TINY:
        name = config.base_model
        weights = sorted(Path(name).glob("*.safetensors")) if Path(name).is_dir() else []
        identity = digest([name, *(file_digest(path) for path in weights)])
        return Base(name=name, path=name, identity=identity, licence=model_licence(name))
    from components.finetune import tiny

    recipe = tiny.recipe_hash(config.seed)
    folder = adapter / "base"
    if not store.get_folder(f"bases/{recipe}", folder):
        say("finetune", "making a small Llama on the spot: tokenizer and weights")
        tiny.make_base(folder, config.seed)
        store.put_folder(f"bases/{recipe}", folder)
    return Base(
        name=f"tiny-llama-{recipe[:12]}", path=str(folder), identity=recipe, licence="Apache-2.0"
    )
