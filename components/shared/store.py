"""The store: what must outlive a run, on any S3 or in a plain folder.

    papers/<id>/v<version>.pdf, .json        papers already fetched
    answers/<hash>.json                      teacher answers already paid for, by hash of the request
    bases/<hash>/..., adapters/<hash>/...    models already made, by hash of what they were made from
    releases/<name>/...                      what was promoted, and the log that points at it

Only the plain S3 subset is used. Objects are immutable and named by content, or by id and version; what changes
is an append-only log of small entries whose greatest key is the latest, so that two writers racing leave one
answer and a history. No key is also a prefix of another: some servers refuse `p` beside `p/q`.
"""

import hashlib
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.shared.errors import StoreError
from components.shared.records import write_atomically


class Store(ABC):
    """Keys are relative paths with forward slashes; values are bytes."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write an object; it becomes visible whole or not at all."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, or None when there is none."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Tell whether an object exists."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys below `prefix/`, in order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; removing what is not there is no error."""

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
        """Write every file of a folder; manifest.json is written last: where it exists, all of the folder does."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            self.put(f"{prefix}/files/{path.relative_to(folder).as_posix()}", path.read_bytes())
        self.put_json(f"{prefix}/manifest.json", [path.relative_to(folder).as_posix() for path in files])

    def get_folder(self, prefix: str, folder: Path) -> bool:
        """Fetch what put_folder wrote; return False, and touch nothing, when it is not whole."""
        names = self.get_json(f"{prefix}/manifest.json")
        if names is None:
            return False
        for name in names:
            data = self.get(f"{prefix}/files/{name}")
            if data is None:
                raise StoreError(f"{prefix}/files/{name} is missing from the store", "delete its manifest.json")
            write_atomically(folder / name, data)
        return True


class FolderStore(Store):
    """A store in a plain folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"store {root}: {error.strerror}", "name a folder that can be written") from None

    def put(self, key: str, data: bytes) -> None:
        try:
            write_atomically(self._path(key), data)
        except OSError as error:
            raise StoreError(f"store {self.root}: cannot write {key}: {error.strerror}", "make room") from None

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        return path.read_bytes() if path.is_file() else None

    def has(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[str]:
        files = (path for path in self._path(prefix).rglob("*") if path.is_file() and not path.name.startswith("."))
        yield from sorted(path.relative_to(self.root).as_posix() for path in files)

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise StoreError(f"store {self.root}: the key {key!r} leads out of the store")
        return path


class S3Store(Store):
    """A store in a bucket of any S3; endpoint and credentials come from the usual AWS_* environment variables."""

    def __init__(self, bucket: str, prefix: str) -> None:
        from minio import Minio

        self.bucket, self.prefix = bucket, prefix.strip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
        self.where = f"s3://{bucket} at {endpoint}"
        parts = urlsplit(endpoint)
        self._client = Minio(
            parts.netloc,
            access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
            secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
            region=os.environ.get("AWS_REGION") or "us-east-1",
            secure=parts.scheme == "https",
        )
        if not self._ask("look for the bucket", self._client.bucket_exists, bucket):
            raise StoreError(f"store {self.where}: there is no such bucket", "create it, or name another store")

    def put(self, key: str, data: bytes) -> None:
        self._ask(f"write {key}", self._client.put_object, self.bucket, self._full(key), io.BytesIO(data), len(data))

    def get(self, key: str) -> bytes | None:
        response = self._ask(f"read {key}", self._client.get_object, self.bucket, self._full(key))
        if response is None:
            return None
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def has(self, key: str) -> bool:
        return self._ask(f"look for {key}", self._client.stat_object, self.bucket, self._full(key)) is not None

    def list(self, prefix: str) -> Iterator[str]:
        full = self._full(prefix) + "/"
        cut = len(self.prefix) + 1 if self.prefix else 0

        def names() -> list[str]:
            found = self._client.list_objects(self.bucket, prefix=full, recursive=True)
            return sorted(str(item.object_name)[cut:] for item in found if not item.is_dir)

        yield from self._ask(f"list {prefix}", names)

    def delete(self, key: str) -> None:
        self._ask(f"delete {key}", self._client.remove_object, self.bucket, self._full(key))

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _ask(self, what: str, call: Any, *arguments: Any) -> Any:
        """Call the client; None means that there is no such object, every other failure is a StoreError."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            return call(*arguments)
        except S3Error as error:
            if error.code in ("NoSuchKey", "NoSuchObject"):
                return None
            raise StoreError(f"store {self.where}: cannot {what}: {error.code}", "check credentials") from None
        except (MinioException, HTTPError, OSError) as error:
            raise StoreError(
                f"store {self.where}: cannot {what}: {type(error).__name__}", "is AWS_ENDPOINT_URL right and up?"
            ) from None


def release_log(name: str) -> str:
    """Return the key of a release's log, whose latest entry is the current release."""
    return f"releases/{name}/log"


def open_store(url: str) -> Store:
    """Open `s3://bucket/prefix` or a folder; raise StoreError when it cannot be reached."""
    if url.startswith("s3://"):
        parts = urlsplit(url)
        if not parts.netloc:
            raise StoreError(f"store {url!r}: no bucket is named", "write s3://bucket/prefix")
        return S3Store(parts.netloc, parts.path)
    if "://" in url:
        raise StoreError(f"store {url!r}: unknown kind", "use s3://bucket/prefix or a folder")
    return FolderStore(Path(url))
