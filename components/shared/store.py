"""The store: what must outlive a run, on any S3 or in a plain folder.

    papers/<id>/v<version>.pdf, .json       papers already fetched
    answers/<hash>.json                     answers already paid for, by hash of the request
    bases/<hash>/..., adapters/<hash>/...   models already made, by hash of what they are made from
    checkpoints/<hash>/<step>/              trainings under way, by the hash of the adapter to be
    requests/<hash>/                        what several nodes are to train: settings and examples
    releases/<name>/...                     what was promoted, and the log that points at it
    damaged/<key>                           what was set aside because it was not as written

Only the plain S3 subset is used. Objects are immutable and named by content, or by id and version;
what changes is an append-only log of small entries whose greatest key is the latest, so that two
writers racing leave one answer and a history. No key is also a prefix of another: some servers
refuse `p` beside `p/q`. No key comes from outside unchecked.

Every record, log entry and folder carries a hash that is checked where it is read. What is damaged
is named in one line. What can be made again is set aside, and then counts as absent; a release can
not, and is an error. The hashes find accidents: who may write the store may also forge them.
"""

import contextlib
import hashlib
import io
import json
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from components.shared.errors import ArxtuneError, DataError, StoreError
from components.shared.manifest import HASH, hash_files
from components.shared.names import relative_name, safe_path
from components.shared.progress import say
from components.shared.records import digest, file_digest, sync_folder, write_stream

PARTIAL = ".partial"
DAMAGED = "damaged"
RELEASES = "releases/"  # never set aside
LOG_ENTRY = re.compile(r".*/[0-9]{8}-([0-9a-f]{16})")


class Store(ABC):
    """Keys are relative paths with forward slashes; values are bytes.

    An object becomes visible whole or not at all, however its writer ends.
    """

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None when there is none."""

    @abstractmethod
    def put_file(self, key: str, path: Path) -> None:
        """Write a file as an object, in pieces: it need not fit in memory."""

    @abstractmethod
    def get_file(self, key: str, path: Path) -> bool:
        """Fetch an object into a file, whole or not at all; return False when there is none."""

    @abstractmethod
    def stat(self, key: str) -> int | None:
        """Return an object's size in bytes, or None when there is none."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys below `prefix/`, in order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; removing what is not there is no error."""

    def put_json(self, key: str, value: object) -> None:
        """Write a value as canonical JSON, with its hash."""
        seal = hashlib.sha256(_json(key, value)).hexdigest()
        self.put(key, _json(key, {"sha256": seal, "value": value}))

    def get_json(self, key: str) -> Any:
        """Return what put_json or append wrote, or None where there is nothing that is whole."""
        data = self.get(key)
        if data is None:
            return None
        try:
            return _unsealed(key, data)
        except (ValueError, KeyError, TypeError, RecursionError):
            self._set_aside(key, "it is not what was written there")
            return None

    def append(self, log: str, entry: Mapping[str, object]) -> str:
        """Append an entry to a log; return its key, which holds its hash."""
        latest = max(self._entry_keys(log), default=f"{log}/0-")
        sequence = 1 + int(latest.removeprefix(f"{log}/").split("-")[0])
        data = _json(log, entry)
        key = f"{log}/{sequence:08d}-{hashlib.sha256(data).hexdigest()[:16]}"
        self.put(key, data)
        return key

    def entries(self, log: str, *, latest_first: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the whole entries of a log, oldest first unless asked otherwise."""
        for key in sorted(self._entry_keys(log), reverse=latest_first):
            entry = self.get_json(key)
            if entry is not None:
                yield entry

    def latest(self, log: str) -> dict[str, Any] | None:
        """Return the latest whole entry of a log, or None when it has none."""
        return next(self.entries(log, latest_first=True), None)

    def _entry_keys(self, log: str) -> Iterator[str]:
        return filter(LOG_ENTRY.fullmatch, self.list(log))

    def put_folder(self, prefix: str, folder: Path) -> None:
        """Write every file of a folder, then the manifest that makes it exist.

        The files lie below `prefix/files/<digest of the folder>/`, so that two writers of one
        prefix with different content never mix: the manifest, written last, names one of them.
        """
        files = hash_files(folder)
        place = f"{prefix}/files/{digest(files)[:16]}"
        for name in files:
            self.put_file(f"{place}/{name}", folder / name)
        self.put_json(f"{prefix}/manifest.json", {"place": place, "files": files})

    def files_of(self, prefix: str) -> dict[str, str] | None:
        """Return name -> key of the files that put_folder wrote, or None without a whole folder."""
        manifest = self._manifest(prefix)
        if manifest is None:
            return None
        place, files = manifest
        return {name: f"{place}/{name}" for name in files}

    def get_folder(self, prefix: str, folder: Path) -> bool:
        """Fetch what put_folder wrote; return False and touch nothing unless it is whole."""
        manifest = self._manifest(prefix)
        if manifest is None:
            return False
        place, files = manifest
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            for name, wanted in files.items():
                path = safe_path(Path(scratch), name)
                if not self.get_file(f"{place}/{name}", path) or file_digest(path) != wanted:
                    self._set_aside(f"{prefix}/manifest.json", f"{name} is missing or damaged")
                    return False
            for name in files:
                target = safe_path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                (Path(scratch) / name).replace(target)
                sync_folder(target.parent)
        return True

    def delete_folder(self, prefix: str) -> None:
        """Remove what put_folder wrote, whole or not."""
        self.delete(f"{prefix}/manifest.json")  # first: what is half removed must not look whole
        for key in list(self.list(prefix)):
            self.delete(key)

    def _manifest(self, prefix: str) -> tuple[str, dict[str, str]] | None:
        """Return place and hashes of the files of a folder, every name checked."""
        key = f"{prefix}/manifest.json"
        manifest = self.get_json(key)
        if manifest is None:
            return None
        try:
            place, files = manifest["place"], dict(manifest["files"])
            if not place.startswith(f"{prefix}/files/"):
                raise ValueError(place)
            for name, value in files.items():
                relative_name(f"{place}/{name}")
                if not HASH.fullmatch(value):
                    raise ValueError(value)
        except (ValueError, KeyError, TypeError, AttributeError, ArxtuneError):
            self._set_aside(key, "it is no list of files of its folder")
            return None
        return place, files

    def _set_aside(self, key: str, reason: str) -> None:
        """Let what is damaged count as absent, to be made again; raise where it cannot be."""
        if key.startswith(RELEASES):
            raise StoreError(f"{key} is damaged: {reason}", "restore the store from a backup")
        say("store", f"{key} is damaged ({reason}): kept as {DAMAGED}/{key} and made again")
        self.put(f"{DAMAGED}/{key}", self.get(key) or b"")
        self.delete(key)


class FolderStore(Store):
    """A store in a plain folder; what is being written waits in its `.partial`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with self._telling("be opened", "name a folder that can be written"):
            root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        self._write(key, io.BytesIO(data))

    def get(self, key: str) -> bytes | None:
        with self._reading(key):
            return self._path(key).read_bytes()
        return None

    def put_file(self, key: str, path: Path) -> None:
        with self._telling(f"read {path}", "run it again"), path.open("rb") as source:
            self._write(key, source)

    def get_file(self, key: str, path: Path) -> bool:
        with self._reading(key), self._path(key).open("rb") as source:
            write_stream(path, source)
            return True
        return False

    def stat(self, key: str) -> int | None:
        path = self._path(key)
        with self._reading(key):
            return path.stat().st_size if path.is_file() else None
        return None

    def list(self, prefix: str) -> Iterator[str]:
        files = (path for path in self._path(prefix).rglob("*") if path.is_file())
        keys = (path.relative_to(self.root).as_posix() for path in files)
        yield from sorted(key for key in keys if not key.startswith(f"{PARTIAL}/"))

    def delete(self, key: str) -> None:
        with self._telling(f"delete {key}", "check its rights"):
            self._path(key).unlink(missing_ok=True)

    def _write(self, key: str, source: BinaryIO) -> None:
        target = self._path(key)
        with self._telling(f"write {key}", "make room, or name a folder that can be written"):
            write_stream(target, source, self.root / PARTIAL)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Read what may be missing: where it is, the block ends early and nothing is raised."""
        with self._telling(f"read {key}", "check its rights"):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return

    @contextlib.contextmanager
    def _telling(self, what: str, fix: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"store {self.root}: cannot {what}: {error.strerror}"
            raise StoreError(problem, fix) from None

    def _path(self, key: str) -> Path:
        return safe_path(self.root, key, f"store {self.root}: the key")


def _json(key: str, value: object) -> bytes:
    """Return canonical JSON; raise DataError for what no reader of JSON would take."""
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{key}: half a character (a lone surrogate) cannot be stored") from None
    except ValueError:
        raise DataError(f"{key}: NaN and infinity cannot be stored") from None


def _unsealed(key: str, data: bytes) -> Any:
    """Return the value of an object, or raise when its hash is not its own."""
    value = json.loads(data)
    if entry := LOG_ENTRY.fullmatch(key):
        if hashlib.sha256(data).hexdigest()[:16] != entry[1] or not isinstance(value, dict):
            raise ValueError(key)
        return value
    if hashlib.sha256(_json(key, value["value"])).hexdigest() != value["sha256"]:
        raise ValueError(key)
    return value["value"]


def release_log(name: str) -> str:
    """Return the key of a release's log, whose latest entry is the current release."""
    return f"{RELEASES}{name}/log"


def open_store(url: str) -> Store:
    """Open `s3://bucket/prefix` or a folder; raise StoreError when it cannot be reached."""
    if not url or not url.isprintable():
        raise StoreError(f"store {url!r}: not a name", "use s3://bucket/prefix or a folder")
    if url.startswith("s3://"):
        from components.shared.s3 import S3Store

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise StoreError(f"store {url!r}: no bucket is named", "write s3://bucket/prefix")
        return S3Store(bucket, prefix)
    if "://" in url:
        raise StoreError(f"store {url!r}: unknown kind", "use s3://bucket/prefix or a folder")
    return FolderStore(Path(url))
