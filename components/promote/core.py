"""Promote: adapter + report -> release."""

import json
from pathlib import Path
from typing import Any

from components.promote import registry
from components.promote.config import PromoteConfig
from components.promote.hub import merge, push
from components.promote.release import lay_out
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import write_atomically
from components.shared.store import open_store


def promote(
    config: PromoteConfig, train: Path, adapter: Path, evaluation: Path, release_folder: Path
) -> dict[str, Any]:
    """Publish the adapter as the new release; refuse unless the verdict on this very adapter is "better"."""
    entry = lay_out(config.release, train, adapter, evaluation, release_folder)
    released = registry.publish(open_store(config.store), config.release, release_folder, entry)
    write_atomically(
        release_folder / "release.json", json.dumps(released, indent=1, sort_keys=True)
    )
    say(
        "promote",
        f"{config.release} version {released['version']}: {config.store}/{released['prefix']}",
    )
    if config.merge:
        merge(adapter, release_folder / "merged")
    if config.push_to:
        push(release_folder, config.push_to)
    ledger = Ledger("promote", "adapters")
    ledger.keep()
    ledger.facts |= released
    return ledger.write(release_folder, evaluation)
