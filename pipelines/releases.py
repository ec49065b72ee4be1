"""List the releases in a store."""

import contextlib
import os
from pathlib import Path

from components.shared.store import open_store, release_log
from pipelines.profile import EMBEDDED_STORE
from pipelines.servers import BUCKET, s3_server


def list_releases(url: str, home: Path, name: str) -> str:
    """Return one line a release, oldest first; the last one is current."""
    with contextlib.ExitStack() as servers:
        if url == EMBEDDED_STORE:
            os.environ.update(servers.enter_context(s3_server(home)))
            url = f"s3://{BUCKET}"
        store = open_store(url)
        entries = [store.get_json(key) for key in store.list(release_log(name))]
    lines = [f"{name} version {e['version']}  base {e['base']}  {url}/{e['prefix']}" for e in entries]
    return "\n".join(lines) or f"no release named {name!r} yet"
