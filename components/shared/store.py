"""The store: what must outlive a run, on any S3 or in a plain folder.

    papers/<id>/v<version>.pdf, .json        papers already fetched
    answers/<hash>.json                      teacher answers already paid for, by hash of the request
    bases/<hash>/..., adapters/<hash>/...    models already made, by hash of what they were made from
    checkpoints/<hash>/<step>/               trainings under way, by the hash of the adapter they will be
    requests/<hash>/                         what several processes or nodes are to train: settings and examples
    releases/<name>/...                      what was promoted, and the log that points at it

Only the plain S3 subset is used. Objects are immutable and named by content, or by id and version; what changes
is an append-only log of small entries whose greatest key is the latest, so that two writers racing leave one
answer and a history. No key is also a prefix of another: some servers refuse `p` beside `p/q`.
"""

import contextlib
import hashlib
import io
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from components.shared.errors import StoreError
from components.shared.records import digest, file_digest, write_stream

PARTIAL = ".partial"


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

    def has(self, key: str) -> bool:
        """Tell whether an object exists."""
        return self.stat(key) is not None

    def get_json(self, key: str) -> Any:
        """Return an object parsed as JSON, or None when there is none."""
        data = self.get(key)
        return None if data is None else json.loads(data)

    def put_json(self, key: str, value: Any) -> None:
        """Write a value as canonical JSON."""
        self.put(key, json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8"))

    def append(self, log: str, entry: dict[str, Any]) -> str:
        """Append an entry to a log; return its key."""
        keys = list(self.list(log))
        sequence = 1 + max((int(key.rsplit("/", 1)[1].split("-")[0]) for key in keys), default=0)
        text = json.dumps(entry, ensure_ascii=False, sort_keys=True)
        key = f"{log}/{sequence:08d}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.put(key, text.encode("utf-8"))
        return key

    def latest(self, log: str) -> dict[str, Any] | None:
        """Return the latest entry of a log, or None when it is empty."""
        keys = sorted(self.list(log))
        return self.get_json(keys[-1]) if keys else None

    def put_folder(self, prefix: str, folder: Path) -> None:
        """Write every file of a folder, then the manifest that makes it exist.

        The files lie below `prefix/files/<digest of the folder>/`, so that two writers of one prefix with different
        content never mix: the manifest that is written last names one of them.
        """
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
        place = f"{prefix}/files/{digest(files)[:16]}"
        for name in files:
            self.put_file(f"{place}/{name}", folder / name)
        self.put_json(f"{prefix}/manifest.json", {"place": place, "files": files})

    def files_of(self, prefix: str) -> dict[str, str] | None:
        """Return name -> key of the files that put_folder wrote, or None when there is no whole folder."""
        manifest = self._manifest(prefix)
        return (
            None
            if manifest is None
            else {name: f"{manifest['place']}/{name}" for name in manifest["files"]}
        )

    def get_folder(self, prefix: str, folder: Path) -> bool:
        """Fetch what put_folder wrote, verified; return False, and touch nothing, when there is no whole folder."""
        manifest = self._manifest(prefix)
        if manifest is None:
            return False
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            for name, wanted in manifest["files"].items():
                key, path = f"{manifest['place']}/{name}", Path(scratch) / name
                if not self.get_file(key, path) or file_digest(path) != wanted:
                    raise StoreError(
                        f"{key} is missing or damaged",
                        f"delete {prefix}/manifest.json to make it anew",
                    )
            for name in manifest["files"]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(scratch) / name).replace(folder / name)
        return True

    def delete_folder(self, prefix: str) -> None:
        """Remove what put_folder wrote, whole or not."""
        self.delete(f"{prefix}/manifest.json")  # first: what is half removed must not look whole
        for key in list(self.list(prefix)):
            self.delete(key)

    def _manifest(self, prefix: str) -> dict[str, Any] | None:
        """Return what names the files of a folder; a list, as 0.1 wrote it before hashes were kept, does not count."""
        manifest = self.get_json(f"{prefix}/manifest.json")
        return manifest if isinstance(manifest, dict) else None


class FolderStore(Store):
    """A store in a plain folder; what is being written waits in its `.partial`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"store {root}: {error.strerror}", "name a folder that can be written"
            ) from None

    def put(self, key: str, data: bytes) -> None:
        self._write(key, io.BytesIO(data))

    def get(self, key: str) -> bytes | None:
        with self._reading(key):
            return self._path(key).read_bytes()
        return None

    def put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as source:
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
        self._path(key).unlink(missing_ok=True)

    def _write(self, key: str, source: BinaryIO) -> None:
        target = self._path(key)
        try:
            write_stream(target, source, self.root / PARTIAL)
        except OSError as error:
            raise StoreError(
                f"store {self.root}: cannot write {key}: {error.strerror}", "make room"
            ) from None

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Read what may be missing: where it is, the block ends early and nothing is raised."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise StoreError(
                f"store {self.root}: cannot read {key}: {error.strerror}", "check its rights"
            ) from None

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise StoreError(f"store {self.root}: the key {key!r} leads out of the store")
        return path


def release_log(name: str) -> str:
    """Return the key of a release's log, whose latest entry is the current release."""
    return f"releases/{name}/log"


def open_store(url: str) -> Store:
    """Open `s3://bucket/prefix` or a folder; raise StoreError when it cannot be reached."""
    if url.startswith("s3://"):
        from components.shared.s3 import S3Store

        parts = urlsplit(url)
        if not parts.netloc:
            raise StoreError(f"store {url!r}: no bucket is named", "write s3://bucket/prefix")
        return S3Store(parts.netloc, parts.path)
    if "://" in url:
        raise StoreError(f"store {url!r}: unknown kind", "use s3://bucket/prefix or a folder")
    return FolderStore(Path(url))
