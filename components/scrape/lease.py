"""One request pace for a whole installation: a file lock on one machine, a Kubernetes Lease in a
cluster.

Whoever asks a site holds its lease for that one request. What the last request left behind, when
the next one may start and what is to be left alone until when, is kept with the lease and so
binds every process and every pod, also after a crash."""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from components.scrape import clock
from components.scrape.config import ScrapeConfig
from components.shared.errors import StoreError
from components.shared.http import FetchError, Outcome
from components.shared.text import clean_line, finite

LONGEST_PAUSE_S = 3600.0  # a clock that was set back, or a damaged state, must not stop us for ever
LONGEST_BLOCK_S = 24 * 3600.0
STALE_S = 24 * 3600.0  # a lease of a stand-in long gone
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
ALL = ""  # in place of a host or kind of path: the whole site


@dataclass
class PaceState:
    """What the lease remembers between requests; times are Unix seconds."""

    free_at: dict[str, float] = field(default_factory=dict)  # host -> when it may be asked next
    blocked: dict[str, tuple[float, str]] = field(default_factory=dict)  # kind -> until when, why

    def wait(self, host: str, seconds: float) -> None:
        """Let the next request to a host start no earlier than `seconds` from now."""
        self.free_at[host] = max(self.free_at.get(host, 0.0), clock.now() + seconds)

    def block(self, kind: str, seconds: float, reason: str) -> None:
        """Leave a kind of path alone for so long, a day at most."""
        self.blocked[kind] = (clock.now() + min(seconds, LONGEST_BLOCK_S), clean_line(reason)[:200])

    def pause(self, host: str) -> float:
        """Return the seconds until a host may be asked; a longer pause than any of ours is none."""
        free = max(self.free_at.get(ALL, 0.0), self.free_at.get(host, 0.0))
        seconds = free - clock.now()
        return seconds if seconds <= LONGEST_PAUSE_S else 0.0

    def check(self, kind: str) -> None:
        """Raise FetchError where a kind of path, or all of the site, is to be left alone."""
        for name, outcome in ((ALL, Outcome.STOP), (kind, Outcome.LATER)):
            until, reason = self.blocked.get(name, (0.0, ""))
            left = until - clock.now()
            if 0 < left <= LONGEST_BLOCK_S:
                day = datetime.fromtimestamp(until, UTC)
                told = f"until {day:%Y-%m-%d %H:%M:%S} UTC, because of {reason}"
                raise FetchError("left alone", outcome, told, after_s=left)

    def to_json(self) -> str:
        """Return what is still of use."""
        now = clock.now()
        free = {host: at for host, at in self.free_at.items() if at > now}
        blocked = {kind: entry for kind, entry in self.blocked.items() if entry[0] > now}
        return json.dumps(asdict(PaceState(free, blocked)))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote; of anything else what can be read."""
        try:
            told = json.loads(text or "{}")
            free, blocked = told.get("free_at", {}), told.get("blocked", {})
            state = cls({str(host): finite(at) or 0.0 for host, at in free.items()})
            for kind, (until, reason) in blocked.items():
                state.blocked[str(kind)] = (finite(until) or 0.0, str(reason))
        except (ValueError, TypeError, AttributeError, RecursionError):
            state = cls()  # cut off by a crash: the request it was to tell of may just have begun
            state.wait(ALL, 1.0)
        return state


class Lease(ABC):
    """The right to send one request to a site."""

    @contextlib.contextmanager
    def turn(self, host: str, kind: str, paces: dict[str, float]) -> Iterator[PaceState]:
        """Wait until a request may start, and hold the lease while it lasts.

        `paces` tells the seconds for hosts, and for all of them. A pace counts from the end of a
        request to the start of the next, so that a site sees no two of them closer than that
        however long they travel. Raises FetchError for what is to be left alone."""
        state = self._wait_for(host, kind)
        try:
            self._pace(state, paces)
            self._write(state)  # in case that we do not live to say so afterwards
            yield state
        finally:
            self._pace(state, paces)
            self._release(state)

    def _wait_for(self, host: str, kind: str) -> PaceState:
        while True:
            state = self._acquire()
            try:
                state.check(kind)
            except FetchError:
                self._release(state)
                raise
            pause = state.pause(host)
            if pause <= 0:
                return state
            self._release(state)  # others may ask other hosts meanwhile
            clock.sleep(pause)

    def _pace(self, state: PaceState, paces: dict[str, float]) -> None:
        for host, seconds in paces.items():
            state.wait(host, seconds)

    def unblock(self) -> dict[str, str]:
        """Let everything be asked again, at its pace; return what was left alone, and why."""
        state = self._acquire()
        lifted = {kind: reason for kind, (_, reason) in state.blocked.items()}
        state.blocked.clear()
        self._release(state)
        return lifted

    @abstractmethod
    def _acquire(self) -> PaceState:
        """Wait for the lease and return what it remembers."""

    @abstractmethod
    def _write(self, state: PaceState) -> None:
        """Keep the state with the lease, which we hold."""

    @abstractmethod
    def _release(self, state: PaceState) -> None:
        """Keep the state and let others have the lease."""

    def renew(self) -> None:  # noqa: B027  a file lock needs no renewal
        """Say that a long request still lasts."""


class FileLease(Lease):
    """A lock on a file, which the kernel takes back from a process that ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def _acquire(self) -> PaceState:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            problem = f"cannot lock {self.path}: {error.strerror}"
            raise StoreError(problem, "name a folder by scrape.state") from None
        return PaceState.from_json(os.pread(self._file, 1 << 16, 0))

    def _write(self, state: PaceState) -> None:
        text = state.to_json().encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def _release(self, state: PaceState) -> None:
        try:
            self._write(state)
        finally:
            os.close(self._file)  # which unlocks it


def open_lease(config: ScrapeConfig) -> Lease:
    """Return the lease for the site of a config: all hosts of arXiv share one."""
    site = config.root.split("//")[1] if config.on_loopback else config.host
    name = site.replace(":", "-").strip("[]")
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and TOKEN.exists()
    automatic = config.lease == "auto" and in_cluster and not config.on_loopback
    if config.lease == "kubernetes" or automatic:
        from components.scrape.kubernetes_lease import in_cluster_lease

        return in_cluster_lease(name, 2 * config.timeout_s + 30)
    folder = state_folder(config) / "leases"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("127.*"):  # each stand-in had a port of its own
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - STALE_S:
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
            problem = f"scrape.state={config.state!r}: {error.strerror}"
            raise StoreError(problem, "name a folder to write to") from None
    # A container with a read-only root, or a user without a home: its temporary folder is all there
    # is.
    folder = Path(tempfile.gettempdir()) / f"arxtune-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StoreError(f"{folder} belongs to someone else", "name a folder by scrape.state")
    return folder
