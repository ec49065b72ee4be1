"""Finetune: train -> adapter."""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.finetune.base import choose_examples, prepare_base, with_text
from components.finetune.config import FinetuneConfig
from components.finetune.launch import processes_here, run_on_gpus
from components.finetune.train import Training, find_start, run
from components.finetune.worker import put_request
from components.shared.errors import StoreError
from components.shared.feasibility import require_test_set
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import Adapter, Example, read_records, write_atomically
from components.shared.store import open_store

FACTS = (
    *("steps", "first_loss", "final_loss", "held_out_losses", "held_out_loss", "seconds"),
    *("tokens_per_second", "completion_tokens_per_second", "mfu", "peak_memory", "device"),
)
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Training</title>
<meta name=viewport content="width=device-width">
<style>body{{font:16px system-ui;margin:1em}}th,td{{text-align:left;overflow-wrap:anywhere}}</style>
<h1>Training</h1><table>{rows}</table><p>The evaluate stage's report draws the loss.</html>
"""


def finetune(config: FinetuneConfig, train: Path, adapter: Path, curve: Path) -> dict[str, Any]:
    """Train a LoRA adapter; the same examples, recipe and base are trained on only once.

    `adapter` becomes a folder: weights, adapter.json, steps.jsonl; `curve` a page of figures for
    people.
    """
    found = list(read_records(train / "examples.jsonl", Example))
    ledger = Ledger("finetune", "training examples")
    _check_writable(adapter)
    if told := require_test_set(train, train_anyway=config.train_anyway):
        say("finetune", told)
    examples = choose_examples(config, found, ledger)
    if not examples:
        nothing = Adapter(base=config.base_model, base_path="", trained=False, adapter_digest="")
        nothing.write(adapter)
        write_atomically(curve, "Nothing was trained: there are no training examples.")
        say("finetune", "no training examples: nothing is trained")
        return ledger.write(adapter, train)
    examples = with_text(config, examples, train / "texts.jsonl")
    made = _made(config, examples, adapter)
    for triple in made.too_long:
        ledger.drop(triple, f"longer than {made.extra['max_length']} tokens")
    ledger.keep(len(examples) - len(made.too_long))
    ledger.facts |= {"base": made.base, **{name: made.extra[name] for name in FACTS}}
    write_page(curve, ledger.facts)
    return ledger.write(adapter, train)


def _made(config: FinetuneConfig, examples: Sequence[Example], folder: Path) -> Adapter:
    """Return the adapter in `folder`: from the store where it was trained before, else made now."""
    config = config.changed(nodes=config.nodes or int(os.environ.get("ARXTUNE_NODES") or 1))
    store = open_store(config.store)
    base = prepare_base(config, store, folder)
    training = Training(config, store, base, examples, find_start(config, store, base))
    if store.get_folder(training.prefix, folder):
        key = training.key[:12]
        say("finetune", f"reusing cached adapter {key} (same data and settings)")
        return Adapter.read(folder)
    _train(training)
    if not store.get_folder(training.prefix, folder):
        problem = f"store {config.store}: {training.prefix} is not there after the training"
        raise StoreError(problem, "start it again")
    return Adapter.read(folder)


def _train(training: Training) -> None:
    """Train in this process, in several on this machine, or in the pods of a TrainJob."""
    config = training.config
    processes = processes_here(config) if config.nodes == 1 else 0
    if processes == 1:  # one process drives one GPU; trl refuses to see more
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
        run(training)
        return
    request = put_request(training)
    if config.nodes > 1:
        from components.finetune.trainjob import run_on_nodes

        run_on_nodes(config, config.store, request)
    else:
        run_on_gpus(config, request, processes)
    training.store.delete_folder(request)


def write_page(path: Path, facts: Mapping[str, Any]) -> None:
    """Write an HTML page of figures."""
    rows = []
    for name, value in facts.items():
        rows.append(f"<tr><th scope=row>{html.escape(name)}<td>{html.escape(str(value))}")
    write_atomically(path, PAGE.format(rows="".join(rows)))


def _check_writable(folder: Path) -> None:
    """Fail before anything is trained when the result could not be written."""
    write_atomically(folder / ".writable", "")
    (folder / ".writable").unlink()
