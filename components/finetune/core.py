"""Finetune: train -> adapter."""

import json
import os
from pathlib import Path
from typing import Any

from components.finetune.base import prepare_base
from components.finetune.config import FinetuneConfig
from components.finetune.curve import write_page
from components.finetune.job import Job, find_start
from components.finetune.launch import processes_here, run_on_gpus
from components.finetune.worker import put_request
from components.shared.errors import StoreError
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import Example, read_records, write_atomically
from components.shared.store import open_store

FACTS = (
    *("base", "steps", "first_loss", "final_loss", "held_out_losses", "held_out_loss", "seconds"),
    *("tokens_per_second", "completion_tokens_per_second", "mfu", "peak_memory", "device"),
)


def finetune(config: FinetuneConfig, train: Path, adapter: Path, curve: Path) -> dict[str, Any]:
    """Train a LoRA adapter on the examples; the same examples, recipe and base are trained on only once.

    `adapter` becomes a folder: weights, adapter.json, steps.jsonl, curve.png; `curve` a page for people.
    """
    examples = list(read_records(train / "examples.jsonl", Example))
    ledger = Ledger("finetune", "training examples")
    if not examples:
        about = {"base": config.base_model, "base_path": "", "trained": False, "adapter_digest": ""}
        write_atomically(adapter / "adapter.json", json.dumps(about))
        write_atomically(curve, "Nothing was trained: there are no training examples.")
        say("finetune", "no training examples: nothing is trained")
        return ledger.write(adapter, train)
    _check_writable(adapter)
    config = config.changed(nodes=config.nodes or int(os.environ.get("ARXTUNE_NODES") or 1))
    store = open_store(config.store)
    base = prepare_base(config, store, adapter)
    job = Job(config, store, base, examples, find_start(config, store, base))
    if store.get_folder(job.place, adapter):
        say("finetune", "trained before on exactly this: the adapter comes from the store")
    else:
        _train(job)
        if not store.get_folder(job.place, adapter):
            raise StoreError(
                f"store {config.store}: {job.place} is not there after the training",
                "start it again",
            )
    about = json.loads((adapter / "adapter.json").read_text("utf-8"))
    for triple in about["too_long"]:
        ledger.drop(triple, f"longer than {config.max_length} tokens")
    ledger.keep(len(examples) - len(about["too_long"]))
    ledger.facts |= {name: about[name] for name in FACTS}
    write_page(curve, (adapter / "curve.png").read_bytes(), ledger.facts)
    return ledger.write(adapter, train)


def _train(job: Job) -> None:
    """Train in this process, in several on this machine, or in the pods of a TrainJob."""
    config = job.config
    processes = processes_here(config) if config.nodes == 1 else 0
    if processes == 1:  # one process drives one GPU; trl refuses to see more
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[
            0
        ]
        job.run()
        return
    request = put_request(job)
    if config.nodes > 1:
        from components.finetune.trainjob import run_on_nodes

        run_on_nodes(config, config.store, request)
    else:
        run_on_gpus(config, request, processes)
    job.store.delete_folder(request)


def _check_writable(folder: Path) -> None:
    """Fail before anything is trained when the result could not be written."""
    write_atomically(folder / ".writable", "")
    (folder / ".writable").unlink()
