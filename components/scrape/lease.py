"""One request pace for a whole installation: a file lock on one machine, a Kubernetes Lease in a cluster.

Whoever asks a site holds its lease for that one request. What the last request left behind, when the next one may
start and whether the site is to be left alone, is kept with the lease and so binds every process and every pod,
also after a crash.
"""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.scrape.config import ScrapeConfig
from components.shared.errors import SourceError, StoreError

LONGEST_SLEEP_S = 24 * 3600.0  # a clock that was set back must not stop us for ever
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass
class Slate:
    """What the lease remembers between requests; times are Unix seconds."""

    free_at: float = 0.0  # when the next request may start
    parked_until: float = 0.0  # until when the site is not asked at all
    why: str = ""  # it is parked

    def wait(self, seconds: float) -> None:
        """Let the next request start no earlier than `seconds` from now."""
        self.free_at = max(self.free_at, time.time() + seconds)

    def park(self, seconds: float, why: str) -> None:
        """Leave the site alone for so long."""
        self.parked_until, self.why = time.time() + seconds, why


class Lease(ABC):
    """The right to send one request to a site."""

    @contextlib.contextmanager
    def turn(self, pace: float) -> Iterator[Slate]:
        """Wait until a request may start, and hold the lease while it lasts.

        The pace counts from the end of a request to the start of the next, so that a site sees no two of them closer
        than that however long they travel. Raises SourceError while the site is parked.
        """
        slate = self._acquire()
        try:
            if (left := slate.parked_until - time.time()) > 0:
                until = datetime.fromtimestamp(slate.parked_until, UTC)
                problem = f"the site is left alone until {until:%Y-%m-%d %H:%M:%S} UTC, because of {slate.why}"
                raise SourceError(
                    problem,
                    f"run again in {left:.0f} s: what is fetched already stays in the store",
                )
            self._sleep(min(slate.free_at - time.time(), LONGEST_SLEEP_S))
            slate.free_at = time.time() + pace
            self._write(slate)  # in case that we do not live to say so afterwards
            yield slate
        finally:
            slate.wait(pace)
            self._release(slate)

    def _sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    @abstractmethod
    def _acquire(self) -> Slate:
        """Wait for the lease and return what it remembers."""

    @abstractmethod
    def _write(self, slate: Slate) -> None:
        """Keep the slate with the lease, which we hold."""

    @abstractmethod
    def _release(self, slate: Slate) -> None:
        """Keep the slate and let others have the lease."""

    def renew(self) -> None:  # noqa: B027  a file lock needs no renewal
        """Say that a long request still lasts."""


class FileLease(Lease):
    """A lock on a file, which the kernel takes back from a process that ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def _acquire(self) -> Slate:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(
                f"cannot lock {self.path}: {error.strerror}", "name a folder by scrape.state"
            ) from None
        text = os.pread(self._file, 4096, 0)
        try:
            return Slate(**json.loads(text or b"{}"))
        except (
            ValueError,
            TypeError,
        ):  # cut off by a crash: the request it was to tell of may just have begun
            slate = Slate()
            slate.wait(1.0)
            return slate

    def _write(self, slate: Slate) -> None:
        text = json.dumps(asdict(slate)).encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def _release(self, slate: Slate) -> None:
        try:
            self._write(slate)
        finally:
            os.close(self._file)  # which unlocks it


def open_lease(config: ScrapeConfig) -> Lease:
    """Return the lease for the site of a config: all hosts of arXiv share one."""
    name = (
        (config.root.split("//")[1] if config.on_loopback else config.host)
        .replace(":", "-")
        .strip("[]")
    )
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and TOKEN.exists()
    if config.lease == "kubernetes" or (
        config.lease == "auto" and in_cluster and not config.on_loopback
    ):
        from components.scrape.kubernetes_lease import in_cluster_lease

        return in_cluster_lease(name, 2 * config.timeout_s + 30)
    folder = state_folder(config) / "leases"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("127.*"):  # of stand-ins long gone: each had a port of its own
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - LONGEST_SLEEP_S:
                path.unlink()
    return FileLease(folder / f"{name}.json")


def state_folder(config: ScrapeConfig) -> Path:
    """Return this machine's folder for leases and downloads under way, of this user alone."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(config.state) if config.state else Path(os.path.expanduser(home)) / "arxtune"  # noqa: PTH111  no error without a home
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        if config.state:
            raise StoreError(
                f"scrape.state={config.state!r}: {error.strerror}", "name a folder to write to"
            ) from None
    # A container with a read-only root, or a user without a home: its temporary folder is all there is.
    folder = Path(tempfile.gettempdir()) / f"arxtune-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StoreError(f"{folder} belongs to someone else", "name a folder by scrape.state")
    return folder
