"""Turn listings into papers: from the store where it has them, else fetched, verified, and put
there for good.

A file is streamed into the spool, a folder of this machine, where a run that was killed finds
what it had; no PDF is ever read whole into memory. What fails is remembered, so that a hopeless
one is not asked for every week."""

import contextlib
import fcntl
import itertools
import os
import shutil
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.scrape.lease import state_folder
from components.scrape.site import Site
from components.scrape.source import Listing
from components.shared.errors import ArxtuneError, DataError
from components.shared.http import TOO_LARGE, FetchError, Outcome
from components.shared.pdf import check
from components.shared.progress import say
from components.shared.records import Paper, digest, file_digest
from components.shared.sandbox import run_in_child
from components.shared.store import Store

REST = timedelta(days=7)  # between tries of a paper that failed often, or for good
MAX_FAILED_RUNS = 3
CHECK_S, CHECK_MIB = 60.0, 1024  # for opening one PDF in a child
STALE_S = 7 * 24 * 3600.0  # a download that no run came back to


class Downloader:
    """Fetch papers, each once."""

    def __init__(self, config: ScrapeConfig, site: Site, store: Store, folder: Path) -> None:
        self.config, self.site, self.store, self.folder = config, site, store, folder
        self.spool = Spool(config, store)
        self.from_store = self.fetched = 0
        self._asked: dict[str, str] = {}  # id -> key of the version asked for in this run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    def paper(self, listing: Listing, source: str) -> Paper:
        """Return a paper with its PDF in the folder; raise FetchError when it cannot be had."""
        return self.stored(listing) or self._fetch(listing, source)

    def stored(self, listing: Listing) -> Paper | None:
        """Return a paper that the store has whole, from the same site, with its PDF in the
        folder."""
        key = f"papers/{listing.arxiv_id}/v{listing.version}"
        try:
            row = self.store.get_json(f"{key}.json")
            if row is None or row.get("site") != self.config.site_kind:
                return None
            paper = Paper.from_dict(row, f"{key}.json")
            path = self.folder / _pdf_name(listing)
            whole = self.store.get_file(f"{key}.pdf", path) and file_digest(path) == paper.sha256
        except (ArxtuneError, ValueError, AttributeError) as error:
            say("scrape", f"{key}.json in the store is damaged ({error}): fetching it again")
            return None
        if not whole:
            path.unlink(missing_ok=True)
            return None
        paper.pdf, paper.licence = _pdf_name(listing), listing.licence
        self.from_store += 1
        return paper

    def _fetch(self, listing: Listing, source: str) -> Paper:
        """Fetch and verify a PDF; into the store it goes first, and its record last."""
        name = f"{listing.arxiv_id}v{listing.version}"
        key = f"papers/{listing.arxiv_id}/v{listing.version}"
        self._check_rejected(key)
        self._asked[listing.arxiv_id] = key
        whole = self._whole(name, key)
        try:
            run_in_child(check, str(whole), deadline_s=CHECK_S, memory_mib=CHECK_MIB)
        except DataError as error:
            whole.unlink()
            self.store.delete(f"{key}.pdf")  # where a run that was killed may have put it
            raise FetchError(error.problem, Outcome.LATER) from None
        paper = Paper(
            arxiv_id=listing.arxiv_id,
            version=listing.version,
            title=listing.title,
            authors=listing.authors,
            abstract=listing.abstract,
            categories=listing.categories,
            submitted=listing.day.isoformat(),
            licence=listing.licence,
            pdf=_pdf_name(listing),
            bytes=whole.stat().st_size,
            sha256=file_digest(whole),
            source=source,
            fetched_at=datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds"),
            extra={
                "comments": listing.comments,
                "site": self.config.site_kind,
                "withdrawn": listing.withdrawn,
            },
        )
        self.store.put_file(f"{key}.pdf", whole)
        self.store.put_json(f"{key}.json", paper.to_dict())
        (self.folder / paper.pdf).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(whole, self.folder / paper.pdf)
        return paper

    def _whole(self, name: str, key: str) -> Path:
        """Return a PDF fetched to its end: by an earlier run that was killed before it wrote the
        record, or now."""
        part = self.spool.folder / f"{name.replace('/', '-')}.part"
        whole = part.with_suffix(".pdf")
        recorded = self.store.stat(f"{key}.json") is not None
        if whole.exists() or (not recorded and self.store.get_file(f"{key}.pdf", whole)):
            self.from_store += 1
            return whole
        self.site.download(f"{self.config.pdf_root}/{quote(name)}", part)
        part.replace(whole)
        part.with_suffix(".tag").unlink(missing_ok=True)
        self.fetched += 1
        return whole

    def remember(self, arxiv_id: str, error: FetchError) -> None:
        """Note in the store that a paper asked for in this run was refused, where that speaks of
        the paper."""
        key = self._asked.get(arxiv_id)
        if key and not self.site.closed:
            now = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds")
            entry = {"at": now, "reason": error.reason, "limit": self.config.max_pdf_bytes}
            self.store.append(_reject_log(key), entry)

    def _check_rejected(self, key: str) -> None:
        """Raise the last error again when there is no point in asking so soon."""
        log = _reject_log(key)
        last: dict[str, Any] | None = self.store.latest(log)
        if last is None:
            return
        tried, runs = datetime.fromisoformat(last["at"]), len(list(self.store.list(log)))
        too_large = last["reason"] == TOO_LARGE and last["limit"] >= self.config.max_pdf_bytes
        age = datetime.fromtimestamp(clock.now(), UTC) - tried
        if (too_large or runs >= MAX_FAILED_RUNS) and age < REST:
            told = f"tried on {tried:%Y-%m-%d}, to be tried again after {REST.days} days"
            raise FetchError(last["reason"], Outcome.SKIP, told)


def _pdf_name(listing: Listing) -> str:
    return f"pdf/{listing.arxiv_id.replace('/', '-')}v{listing.version}.pdf"


def _reject_log(key: str) -> str:
    return f"rejected/{key.removeprefix('papers/')}"


class Spool:
    """A folder of this machine for downloads under way, of one store and one site, in the hands
    of one process.

    Another process at the same time takes the next folder; a run after a crash takes the same
    one again."""

    def __init__(self, config: ScrapeConfig, store: Store) -> None:
        log = "installation"
        if not any(store.list(log)):
            store.append(log, {"id": uuid.uuid4().hex})
        name = digest([min(store.list(log)), config.site_kind])[:16]
        root = state_folder(config) / "spool"
        root.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            self._lock = os.open(
                root / f"{name}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                continue
            self.folder = root / f"{name}-{number}"
            break
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            if path.stat().st_mtime < time.time() - STALE_S:
                path.unlink()

    def close(self) -> None:
        """Let another process have the folder, and remove it where nothing is left in it."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        os.close(self._lock)
