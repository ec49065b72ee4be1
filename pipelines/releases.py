"""`arxtune releases`: list, show, roll back and verify what was promoted."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from components.promote import registry
from components.shared.store import Store, open_store
from pipelines.profile import EMBEDDED_STORE
from pipelines.store_server import BUCKET, s3_server

HELP = {
    "list": "every promotion and rollback, oldest first (the default)",
    "show": "the model card of a version",
    "rollback": "make an older version current again, by default the one before",
    "verify": "check every file of a version against its hash",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune releases` to the command line."""
    parser = commands.add_parser(
        "releases", help="list, show, roll back or verify what was promoted"
    )
    what = "; ".join(f"{name}: {text}" for name, text in HELP.items())
    parser.add_argument("action", nargs="?", default="list", choices=HELP, help=what)
    parser.add_argument(
        "version", nargs="?", default="", help="2, v2 or v2-<digest> (default: the current one)"
    )
    parser.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    parser.add_argument("--store", default=EMBEDDED_STORE, metavar="URL")
    parser.add_argument("--release", default="arxtune", metavar="NAME")
    parser.set_defaults(command=_releases)


def _releases(arguments: argparse.Namespace) -> None:
    with _opened(arguments.store, arguments.home) as store:
        print(_ACTIONS[arguments.action](store, arguments.release, arguments.version))


@contextlib.contextmanager
def _opened(url: str, home: Path) -> Iterator[Store]:
    """Open the store, with a server of its own for the embedded one."""
    with contextlib.ExitStack() as servers:
        if url == EMBEDDED_STORE:
            os.environ.update(servers.enter_context(s3_server(home)))
            url = f"s3://{BUCKET}"
        yield open_store(url)


def list_releases(store: Store, name: str, _version: str = "") -> str:
    """Return one line a promotion or rollback, oldest first; the last one is current."""
    lines = [
        f"{entry.get('at', '-'):<25} {registry.label(entry):<18}  {entry.get('action', 'promoted'):<34} {entry['base']}"
        for entry in registry.history(store, name)
    ]
    return (
        "\n".join([*lines, "the last line is current"])
        if lines
        else f"no release named {name!r} yet"
    )


def show_release(store: Store, name: str, version: str = "") -> str:
    """Return a version's place and its model card."""
    entry = registry.find(store, name, version)
    keys = store.files_of(entry["prefix"]) or {}
    card = store.get(keys["README.md"]) if "README.md" in keys else None
    return f"{registry.label(entry)}  {entry['prefix']}\n\n{(card or b'').decode()}".rstrip()


def roll_back(store: Store, name: str, version: str = "") -> str:
    """Make an older version current; return a line about it."""
    entry = registry.rollback(store, name, version)
    return f"{name} is now {registry.label(entry)}  {entry['prefix']}"


def verify_release(store: Store, name: str, version: str = "") -> str:
    """Check every file of a version; return a line about it."""
    entry = registry.find(store, name, version)
    return (
        f"{registry.label(entry)}: {registry.verify(store, entry)} files are as they were released"
    )


_ACTIONS = {
    "list": list_releases,
    "show": show_release,
    "rollback": roll_back,
    "verify": verify_release,
}
