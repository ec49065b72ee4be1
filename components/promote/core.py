"""Promote: adapter + report -> release.

What may fail comes first: whatever follows publishing is told when it fails, and fails nothing.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.promote import hub, registry
from components.promote.config import PromoteConfig
from components.promote.release import SEPARATE, lay_out, seal
from components.shared.ledger import Ledger
from components.shared.progress import say
from components.shared.records import write_atomically
from components.shared.store import open_store


def promote(
    config: PromoteConfig, train: Path, adapter: Path, evaluation: Path, release_folder: Path
) -> dict[str, Any]:
    """Publish the adapter as the new release, if the verdict on it is "better"."""
    hub.check(config)
    store = open_store(config.store)
    ledger = Ledger("promote", "adapters")
    entry, champion = lay_out(store, config.release, train, adapter, evaluation, release_folder)
    ledger.keep()
    ledger.facts = {"name": entry.name, "adapter digest": entry.adapter_digest}
    ledger.write(release_folder, evaluation)
    entry = replace(entry, sums=seal(release_folder))
    with tempfile.TemporaryDirectory(dir=release_folder.parent, prefix=".merged-") as scratch:
        if config.merge:
            hub.merge(adapter, Path(scratch) / "merged")
        released = registry.publish(store, config.release, release_folder, entry, champion)
        if released.sums != entry.sums:  # of an earlier run: what counts is what the store holds
            shutil.rmtree(release_folder)
            store.get_folder(released.prefix, release_folder)
        if config.merge:
            (Path(scratch) / "merged").rename(release_folder / SEPARATE)
    text = json.dumps(released.to_dict(), indent=1, sort_keys=True)
    write_atomically(release_folder / "release.json", text)
    say(
        "promote",
        f"{config.release} version {released.version}: {config.store}/{released.prefix}",
    )
    facts = released.to_dict()
    if config.push_to:
        facts["pushed"] = hub.push(release_folder, config.push_to)
    return {**ledger.summary(), "facts": facts}
