"""Turn listings into papers: from the store where it has them, else fetched, verified, and put there for good.

A file is streamed into the spool, a folder of this machine, where a run that was killed finds what it had; no PDF
is ever read whole into memory. What fails is remembered, so that a hopeless one is not asked for every week.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from components.scrape.config import ScrapeConfig
from components.scrape.details import Details, DetailsReader
from components.scrape.lease import state_folder
from components.scrape.pdf_check import PdfChecker
from components.scrape.refusal import TOO_LARGE, Refusal
from components.scrape.site import Site
from components.scrape.source import Listing, in_days
from components.shared.records import Paper, digest, file_digest
from components.shared.store import Store

REST = timedelta(days=7)  # between tries of a paper that failed often, or for good
OFTEN = 3  # runs
NO_REQUEST = "no request left"
STALE_S = 7 * 24 * 3600.0  # a download that no run came back to


class Downloader:
    """Fetch papers, each once."""

    def __init__(
        self, config: ScrapeConfig, site: Site, store: Store, folder: Path, details: DetailsReader
    ) -> None:
        self.config, self.site, self.store, self.folder, self.details = (
            config,
            site,
            store,
            folder,
            details,
        )
        self.spool, self.checker = Spool(config, store), PdfChecker()
        self.from_store = self.fetched = 0
        self._asked: dict[str, str] = {}  # id -> key of the version asked for in this run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.checker.close()
        self.spool.close()

    def paper(self, listing: Listing) -> Paper | None:
        """Return a paper with its PDF in the folder; None when it is of another day than asked for; raise Refusal."""
        if not listing.has_pdf:
            raise Refusal("no PDF offered", "withdrawn, or never had one")
        if listing.version and (paper := self._stored(listing, listing.version)):
            return self._of_days(paper)
        details = self.details.of(listing)
        if not in_days(datetime.fromisoformat(details.submitted).date(), self.config):
            return None
        if not details.has_pdf:
            raise Refusal("no PDF offered", "withdrawn, or never had one")
        return self._stored(listing, details.version) or self._fetch(listing, details)

    def _of_days(self, paper: Paper) -> Paper | None:
        return (
            paper if in_days(datetime.fromisoformat(paper.submitted).date(), self.config) else None
        )

    def _stored(self, listing: Listing, version: int) -> Paper | None:
        """Return a paper that the store has whole, from the same site, with its PDF in the folder."""
        key = f"papers/{listing.arxiv_id}/v{version}"
        row = self.store.get_json(f"{key}.json")
        if row is None or row.get("site") != self.config.site_kind:
            return None
        paper = Paper.from_dict(row, f"{key}.json")
        path = self.folder / paper.pdf
        if not self.store.get_file(f"{key}.pdf", path) or file_digest(path) != paper.sha256:
            path.unlink(missing_ok=True)
            return None
        self.from_store += 1
        return paper

    def _fetch(self, listing: Listing, details: Details) -> Paper:
        """Fetch and verify a PDF; into the store it goes first, and its record last."""
        name, key = (
            f"{listing.arxiv_id}v{details.version}",
            f"papers/{listing.arxiv_id}/v{details.version}",
        )
        self._give_it_a_rest(key)
        self._asked[listing.arxiv_id] = key
        whole = self._whole(name, key)
        if fault := self.checker.fault_of(whole):
            whole.unlink()
            self.store.delete(
                f"{key}.pdf"
            )  # where an earlier run may have put it before it was killed
            raise Refusal(*fault, later=True)
        paper = Paper(
            arxiv_id=listing.arxiv_id,
            version=details.version,
            title=listing.title,
            authors=details.authors if listing.more_authors else listing.authors,
            abstract=listing.abstract,
            categories=listing.categories,
            submitted=details.submitted,
            licence=details.licence,
            pdf=f"pdf/{name.replace('/', '-')}.pdf",
            bytes=whole.stat().st_size,
            sha256=file_digest(whole),
            source=self.details.source,
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
            extra={"comments": listing.comments, "site": self.config.site_kind},
        )
        self.store.put_file(f"{key}.pdf", whole)
        self.store.put_json(f"{key}.json", paper.to_dict())
        (self.folder / paper.pdf).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(whole, self.folder / paper.pdf)
        return paper

    def _whole(self, name: str, key: str) -> Path:
        """Return a PDF fetched to its end: by an earlier run that was killed before it wrote the record, or now."""
        part = self.spool.folder / f"{name.replace('/', '-')}.part"
        whole = part.with_suffix(".pdf")
        if whole.exists() or (
            not self.store.stat(f"{key}.json") and self.store.get_file(f"{key}.pdf", whole)
        ):
            self.from_store += 1
            return whole
        self.site.download(f"{self.config.root}/pdf/{quote(name)}", part)
        part.replace(whole)
        part.with_suffix(".tag").unlink(missing_ok=True)
        self.fetched += 1
        return whole

    def remember(self, arxiv_id: str, refusal: Refusal) -> None:
        """Note in the store that a paper asked for in this run was refused, where that speaks of the paper."""
        if (key := self._asked.get(arxiv_id)) and not refusal.down and refusal.reason != NO_REQUEST:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.store.append(
                _reject_log(key),
                {"at": now, "reason": refusal.reason, "limit": self.config.max_pdf_bytes},
            )

    def _give_it_a_rest(self, key: str) -> None:
        """Raise the last Refusal again when there is no point in asking so soon."""
        log = _reject_log(key)
        last: dict[str, Any] | None = self.store.latest(log)
        if last is None:
            return
        tried, runs = datetime.fromisoformat(last["at"]), len(list(self.store.list(log)))
        too_large = last["reason"] == TOO_LARGE and last["limit"] >= self.config.max_pdf_bytes
        if (too_large or runs >= OFTEN) and datetime.now(UTC) - tried < REST:
            raise Refusal(
                last["reason"],
                f"tried on {tried:%Y-%m-%d}, to be tried again after {REST.days} days",
            )


def _reject_log(key: str) -> str:
    return f"rejected/{key.removeprefix('papers/')}"


class Spool:
    """A folder of this machine for downloads under way, of one store and one site, in the hands of one process.

    Another process at the same time takes the next folder; a run after a crash takes the same one again.
    """

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
