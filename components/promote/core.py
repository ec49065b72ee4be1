"""Promote: adapter + report -> release."""

import json
import shutil
from pathlib import Path
from typing import Any

from components.promote import card, registry
from components.promote.config import PromoteConfig
from components.shared.errors import DataError
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import Source, read_records, write_atomically
from components.shared.store import open_store


def promote(
    config: PromoteConfig, train: Path, adapter: Path, evaluation: Path, release_folder: Path
) -> dict[str, Any]:
    """Publish the adapter as the new release; refuse unless the verdict on this very adapter is "better"."""
    about = json.loads((adapter / "adapter.json").read_text("utf-8"))
    verdict = json.loads((evaluation / "verdict.json").read_text("utf-8"))
    if verdict["word"] != "better":
        raise DataError(f"the verdict is {verdict['word']!r}", "only an adapter that is 'better' is promoted")
    if verdict["adapter_digest"] != about["adapter_digest"]:
        raise DataError("the verdict is about another adapter", "evaluate this one first")
    sources = list(read_records(train / "sources.jsonl", Source))
    shutil.copytree(adapter, release_folder, dirs_exist_ok=True)
    write_atomically(release_folder / "README.md", card.model_card(config.release, about, verdict, sources))
    write_atomically(release_folder / "NOTICE", card.notice(config.release, about, sources))
    shutil.copy(evaluation / "verdict.json", release_folder / "verdict.json")
    entry = {"adapter_digest": about["adapter_digest"], "base": about["base"], "train_digest": about["train_digest"]}
    released = registry.publish(open_store(config.store), config.release, release_folder, entry)
    write_atomically(release_folder / "release.json", json.dumps(released, indent=1, sort_keys=True))
    say("promote", f"{config.release} version {released['version']}: {config.store}/{released['prefix']}")
    ledger = Ledger("promote", "adapters")
    ledger.keep()
    ledger.facts |= released
    return ledger.write(release_folder, evaluation)
