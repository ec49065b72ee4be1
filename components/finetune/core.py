"""Finetune: train -> adapter."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.finetune.config import TINY, FinetuneConfig
from components.shared.ledger import Ledger
from components.shared.licences import model_licence
from components.shared.progress import say
from components.shared.records import Example, digest, file_digest, read_records, write_atomically
from components.shared.store import Store, open_store

LIBRARIES = ("torch", "transformers", "trl", "peft")
NOT_OF_THE_WEIGHTS = ("store", "base_model")  # knobs that do not change what is trained; the base has its own identity


@dataclass(frozen=True)
class Base:
    """The model that is tuned."""

    name: str  # what is told to people and compared between releases
    path: str  # what is loaded: a hub id or a folder
    identity: str  # changes whenever its weights may have changed
    licence: str


def finetune(config: FinetuneConfig, train: Path, adapter: Path) -> dict[str, Any]:
    """Train a LoRA adapter on the examples; the same examples, recipe and base are trained on only once."""
    examples = list(read_records(train / "examples.jsonl", Example))
    ledger = Ledger("finetune", "training examples")
    if not examples:
        about = {"base": config.base_model, "base_path": "", "trained": False, "adapter_digest": ""}
        write_atomically(adapter / "adapter.json", json.dumps(about))
        say("finetune", "no training examples: nothing is trained")
        return ledger.write(adapter, train)
    store = open_store(config.store)
    base = prepare_base(config, store, adapter)
    train_digest = digest([example.to_dict() for example in examples])
    key = f"adapters/{adapter_key(config, base, train_digest)}"
    if store.get_folder(key, adapter):
        say("finetune", "trained before on exactly this: the adapter comes from the store")
    else:
        with tempfile.TemporaryDirectory(prefix="arxtune-finetune-") as scratch:
            _train(config, base, examples, train_digest, Path(scratch))
            store.put_folder(key, Path(scratch) / "adapter")
        store.get_folder(key, adapter)
    about = json.loads((adapter / "adapter.json").read_text("utf-8"))
    for triple in about["too_long"]:
        ledger.drop(triple, f"longer than {config.max_length} tokens")
    ledger.keep(len(examples) - len(about["too_long"]))
    ledger.facts |= {name: about[name] for name in ("base", "steps", "first_loss", "final_loss", "device")}
    ledger.facts |= {"training seconds": about["seconds"], "tokens/s": about["tokens_per_second"]}
    return ledger.write(adapter, train)


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
    return Base(name=f"tiny-llama-{recipe[:12]}", path=str(folder), identity=recipe, licence="Apache-2.0")


def adapter_key(config: FinetuneConfig, base: Base, train_digest: str) -> str:
    """Return the hash of everything that the trained weights depend on."""
    knobs = {name: value for name, value in config.to_dict().items() if name not in NOT_OF_THE_WEIGHTS}
    return digest([knobs, base.identity, train_digest, {name: version(name) for name in LIBRARIES}])


def _train(config: FinetuneConfig, base: Base, examples: Sequence[Example], train_digest: str, scratch: Path) -> None:
    """Train into scratch/adapter: weights, steps.jsonl and adapter.json."""
    from components.finetune.trainer import token_counts, train

    lengths = token_counts(base.path, examples)
    fits = [length <= config.max_length for length in lengths]
    fitting = [example for example, fit in zip(examples, fits, strict=True) if fit]
    too_long = [example.triple for example, fit in zip(examples, fits, strict=True) if not fit]
    say("finetune", f"{len(fitting)} examples, up to {max(lengths)} tokens, on {base.name}")
    out = scratch / "adapter"
    facts = train(config, base.path, fitting, out, scratch / "trainer")
    about = {
        "base": base.name,
        "base_identity": base.identity,
        "base_path": "base" if config.base_model == TINY else "",
        "base_licence": base.licence,
        "trained": True,
        "examples": len(fitting),
        "too_long": too_long,
        "train_digest": train_digest,
        "adapter_digest": file_digest(out / "weights" / "adapter_model.safetensors"),
        **facts,
    }
    write_atomically(out / "adapter.json", json.dumps(about, indent=1, sort_keys=True))
