"""What is certain to fail is told before anything is fetched, asked or trained: `arxtune run`
begins with this list.

Each check is told in one line with its fix, and all faults at once. The stages of a cluster begin
with their own part.
"""

import argparse
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from components.promote.hub import check_token
from components.shared import bases
from components.shared.errors import ArxtuneError, ConfigError, DataError, SourceError, StoreError
from components.shared.feasibility import MIN_TRAIN_PAPERS, VerdictNeeds
from pipelines import doctor
from pipelines.profile import EMBEDDED_STORE, Profile


@dataclass(frozen=True)
class Asked:
    """What a run was asked for."""

    profile: Profile
    home: Path
    papers: Path | None
    triples: Path | None
    containers: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace, profile: Profile) -> "Asked":
        """Return it from a command line."""
        return cls(
            profile, arguments.home, arguments.papers, arguments.triples, arguments.containers
        )


def machine(asked: Asked) -> None:
    """Room on the disk, memory, and the programs that this machine has to have."""
    home = asked.home.absolute()
    if any(path.is_file() for path in (home, *home.parents)):
        raise ConfigError(f"home {asked.home}: cannot be written", "name another by --home")
    doctor.machine(doctor.Targets(home=str(home)))


def programs(asked: Asked) -> None:
    """The browser, and the embedded store's server."""
    if asked.triples is None and not asked.containers:
        doctor.programs(doctor.Targets())


def push(asked: Asked) -> None:
    """What publishing on the hub needs."""
    check_token(asked.profile.settings.get("promote", {}).get("push_to", ""))


def papers(asked: Asked) -> None:
    """The folder of PDFs, and whether it can end in a verdict."""
    if asked.papers is None:
        return
    if not asked.papers.is_dir():
        raise DataError(
            f"--papers {asked.papers}: no such folder", "name a folder that holds PDF files"
        )
    count = sum(path.suffix.lower() == ".pdf" for path in asked.papers.iterdir())
    needed = VerdictNeeds().test_papers + MIN_TRAIN_PAPERS
    if not count:
        raise DataError(f"--papers {asked.papers}: holds no PDF file", "name another folder")
    if count < needed and not asked.profile.config("finetune").train_anyway:
        raise DataError(
            f"--papers {asked.papers}: {count} PDF files, and a verdict needs {needed}",
            "add papers, or train without a verdict by --train-anyway",
        )


def triples(asked: Asked) -> None:
    """The file of triples."""
    if asked.triples is None:
        return
    if not asked.triples.exists():
        raise DataError(
            f"--triples {asked.triples}: no such file", "name a JSON or JSONL file of triples"
        )


def store(asked: Asked) -> None:
    """A store of one's own: reached, and its bucket there."""
    from components.shared.store import open_store

    url = asked.profile.parameters["store"]
    if url == EMBEDDED_STORE:
        return
    if "://" in url:
        open_store(url)
        return
    folder = Path(url).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise StoreError(f"store {url}: cannot be written", "name a folder that can be written")


def site(asked: Asked) -> None:
    """The site's name, as long as no store can stand in for what it has."""
    config, kept = asked.profile.config("scrape"), asked.profile.parameters["store"]
    store = asked.home / "store" if kept == EMBEDDED_STORE else Path(kept)
    if asked.triples or config.on_loopback or "://" in kept or store.exists() or getproxies():
        return
    try:
        socket.getaddrinfo(urlsplit(config.root).hostname, None)
    except OSError as error:
        problem = f"{config.root} does not answer: no connection: {error.strerror or error}"
        raise SourceError(problem, "look at the network, or name another by --site") from None


def base(asked: Asked) -> None:
    """The base model: config, tokenizer, weights, as training will load them."""
    from components.shared.models import check_base

    name = asked.profile.config("finetune").base_model
    if name == bases.SMOLLM2:
        bases.locate(name)  # fetched once: now rather than after the papers
    elif name != bases.TINY:
        check_base(name)


def teacher(asked: Asked) -> None:
    """The teacher: its key, whether its model is served, and whether the base may learn from it."""
    from components.generate.core import make_teacher

    if asked.triples is None:
        make_teacher(asked.profile.config("generate"))


CHECKS: tuple[Callable[[Asked], None], ...] = (
    machine,
    programs,
    push,
    papers,
    triples,
    store,
    site,
    base,
    teacher,
)


def faults(asked: Asked) -> list[ArxtuneError]:
    """Return all that is certain to fail; what asks a server does so at the same time."""

    def run(check: Callable[[Asked], None]) -> ArxtuneError | None:
        try:
            check(asked)
        except ArxtuneError as error:
            return error
        return None

    wrong = run(lambda asked: asked.profile.check())  # first: it converts what the others read
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        found = [error for error in pool.map(run, CHECKS) if error]
    if wrong:  # which stops each check that reads the same setting
        found = [error for error in found if str(error) not in str(wrong)]
        return [wrong, *found]
    return found
