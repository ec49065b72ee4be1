"""`arxtune releases`: list, show, get, roll back and verify what was promoted."""

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.evaluate.history import write_page
from components.promote import registry
from components.promote.release import check_files
from components.shared.bases import is_folder, locate
from components.shared.errors import ConfigError
from components.shared.names import safe_name
from components.shared.releases import Release, history
from components.shared.store import Store, open_store
from components.shared.text import clean, clean_line
from pipelines.profile import EMBEDDED_STORE
from pipelines.store_server import BUCKET, s3_server

HELP = {
    "list": "every promotion and rollback, oldest first (the default)",
    "show": "the model card of a version",
    "get": "write a version into a folder, ready to load: get NAME[@VERSION] FOLDER",
    "rollback": "make an older version current again, by default the one before",
    "verify": "check every file of a version against its hash",
    "history": "write a page of all verdicts, into the file that is named instead of a version",
}


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `arxtune releases` to the command line."""
    parser = commands.add_parser(
        "releases", help="list, show, get, roll back or verify what was promoted"
    )
    what = "; ".join(f"{name}: {text}" for name, text in HELP.items())
    parser.add_argument("action", nargs="?", default="list", choices=HELP, help=what)
    parser.add_argument(
        "version", nargs="?", default="", help="2, v2 or v2-<digest> (default: the current one)"
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where get writes to")
    add_store(parser)
    parser.add_argument("--release", default="arxtune", metavar="NAME")
    parser.set_defaults(command=_releases)


def _releases(arguments: argparse.Namespace) -> None:
    safe_name(arguments.release, "--release")
    if arguments.action == "get":
        if not arguments.folder:
            raise ConfigError(
                "releases get: needs a name and a folder", "get NAME[@VERSION] FOLDER"
            )
        print(get_release(arguments.store, arguments.home, arguments.version, arguments.folder))
        return
    with opened_store(arguments.store, arguments.home) as store:
        print(_ACTIONS[arguments.action](store, arguments.release, arguments.version))


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add what names a store to a command."""
    parser.add_argument("--home", type=Path, default=Path(".arxtune"), metavar="FOLDER")
    parser.add_argument("--store", default=EMBEDDED_STORE, metavar="URL")


@contextlib.contextmanager
def opened_store(url: str, home: Path) -> Iterator[Store]:
    """Open the store, with a server of its own for the embedded one."""
    with contextlib.ExitStack() as servers:
        if url == EMBEDDED_STORE:
            os.environ.update(servers.enter_context(s3_server(home)))
            url = f"s3://{BUCKET}"
        yield open_store(url)


def list_releases(store: Store, name: str, _version: str = "") -> str:
    """Return one line a promotion or rollback, oldest first; the last one is current."""
    lines = []
    for entry in history(store, name):
        score = "-" if entry.rouge_l is None else f"{entry.rouge_l:.3f}"
        gain = "-" if entry.gain is None else f"{entry.gain:+.3f}"
        when = entry.at[:19]
        what = f"{entry.label:<18}  {entry.action:<34} ROUGE-L {score:>5} ({gain})"
        lines.append(f"{when:<19}  {what}  {clean_line(entry.base)}")
    if not lines:
        return f"no release named {name!r} yet"
    return "\n".join([*lines, "the last line is current; in brackets the gain over the base"])


def fetch_release(url: str, home: Path, wanted: str, folder: Path) -> Release:
    """Write a version, NAME[@VERSION], into a folder that is empty or not there yet."""
    name, _, version = wanted.partition("@")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty", "name a folder that is not there yet")
    with opened_store(url, home) as store:
        entry = registry.find(store, name, version)
        store.get_folder(entry.prefix, folder)
    check_files(folder, entry.sums)
    return entry


def get_release(url: str, home: Path, wanted: str, folder: Path) -> str:
    """Write a version and, beside it, a base that no hub has; return a line about it."""
    entry = fetch_release(url, home, wanted, folder)
    if is_folder(entry.base) and not (folder / "base").exists():
        shutil.copytree(locate(entry.base), folder / "base")
    return f"{entry.label}: {folder}; README.md there says how to use it"


def show_release(store: Store, name: str, version: str = "") -> str:
    """Return a version's place and its model card."""
    entry = registry.find(store, name, version)
    keys = store.files_of(entry.prefix) or {}
    card = store.get(keys["README.md"]) if "README.md" in keys else None
    text = clean((card or b"").decode("utf-8", "replace"))
    return f"{entry.label}  {entry.prefix}\n\n{text}".rstrip()


def roll_back(store: Store, name: str, version: str = "") -> str:
    """Make an older version current; return a line about it."""
    entry = registry.rollback(store, name, version)
    return f"{name} is now {entry.label}  {entry.prefix}"


def verify_release(store: Store, name: str, version: str = "") -> str:
    """Check every file of a version; return a line about it."""
    entry = registry.find(store, name, version)
    return f"{entry.label}: {registry.verify(store, entry)} files are as they were released"


def write_history(store: Store, name: str, page: str = "") -> str:
    """Write the page of all verdicts; return a line about it."""
    path = Path(page or f"verdicts-{name}.html")
    count = write_page(path, store, name)
    return f"{count} verdicts on {name}: {path}"


_ACTIONS = {
    "list": list_releases,
    "show": show_release,
    "rollback": roll_back,
    "verify": verify_release,
    "history": write_history,
}
