"""A store in a bucket of any S3, by the `minio` client and the subset of S3 that all servers have.

No call outlives its deadline, whatever the server does: `_in_time` leaves it behind.
"""

import io
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from components.shared.errors import ConfigError, StoreError
from components.shared.http import seconds_until
from components.shared.names import environment, relative_name
from components.shared.records import write_stream
from components.shared.store import Store
from components.shared.text import finite

PART = 16 << 20  # bytes a part of an upload; S3 allows 10,000 of them: objects up to 160 GiB
TRIES = 3  # of a whole transfer that was cut; the client itself repeats single requests
CONNECT_SECONDS, READ_SECONDS = 10, 60  # a silent server is given up after three reads
CALL_SECONDS = 300.0  # a call with all its tries, and what its data takes at SLOWEST
SLOWEST = 1 << 20  # bytes a second
WHOLE = 256 << 20  # bytes of an object that is read into memory
SKEW_SECONDS = 300  # servers refuse signatures that are older; S3 allows 15 minutes, some less
NOT_THERE = ("NoSuchKey", "NoSuchObject")
UPLOAD_OVER = "NoSuchUpload"  # of a repeated last request whose first answer was lost
BUSY = "the server is busy or broken: try again later"
# Of answers that are none
NO_S3 = (ValueError, TypeError, LookupError, AttributeError, SyntaxError)
# Our own names first: in a pod the AWS_* variables are also Kubeflow's, whose bucket is another.
ENDPOINT = ("ARXTUNE_S3_ENDPOINT_URL", "ARXTUNE_S3_ENDPOINT", "AWS_ENDPOINT_URL")
REGION = ("ARXTUNE_S3_REGION", "AWS_REGION")
ACCESS_KEY = ("ARXTUNE_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID")
SECRET_KEY = ("ARXTUNE_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")
SESSION_TOKEN = ("ARXTUNE_S3_SESSION_TOKEN", "AWS_SESSION_TOKEN")
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")

Result = TypeVar("Result")


def s3_endpoint() -> str:
    """Return scheme://host[:port] of the store; raise ConfigError for more or less than that."""
    endpoint, name = environment(*ENDPOINT) or "https://s3.amazonaws.com", _named(*ENDPOINT)
    fix = "write http(s)://host or http(s)://host:port"
    if "@" in endpoint:
        raise ConfigError(f"{name} holds a user name or password", fix)
    try:
        parts = urlsplit(endpoint)
        host, port = parts.netloc.removesuffix(f":{parts.port}"), parts.port
        valid = parts.scheme in ("http", "https") and _HOST.fullmatch(host) and port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name}={endpoint!r} is no address of a server", fix)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"{name}={endpoint!r} holds a path", f"{fix}; the path goes into --store")
    return f"{parts.scheme}://{parts.netloc}"


def s3_region() -> str:
    """Return the region of the store; raise ConfigError for what is none."""
    region = environment(*REGION) or "us-east-1"
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{_named(*REGION)}={region!r} is no region", "such as eu-central-1")
    return region


def _named(*names: str) -> str:
    """Return which of some variables `environment` takes its value from."""
    return next((name for name in names if os.environ.get(name, "").strip()), names[-1])


class S3Store(Store):
    """A bucket, or the part of it below a prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.where = f"s3://{bucket} at {s3_endpoint()}"
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            fix = "3 to 63 letters, digits, '.', '_' and '-'"
            raise StoreError(f"store s3://{bucket}: that is no name of a bucket", fix)
        self.bucket, self.prefix = bucket, prefix.strip("/")
        if self.prefix:
            relative_name(self.prefix, f"store s3://{bucket}: the prefix")
        self._client = connect()
        if not self._ask("look for the bucket", lambda: self._client.bucket_exists(bucket)):
            problem = f"store {self.where}: there is no such bucket"
            raise StoreError(problem, "create it, or name another store")

    def put(self, key: str, data: bytes) -> None:
        full = self._full(key)

        def write() -> None:
            _made(self._client.put_object(self.bucket, full, io.BytesIO(data), len(data)))

        self._ask(f"write {key}", write, len(data))

    def get(self, key: str) -> bytes | None:
        return self._ask(f"read {key}", lambda: self._read(key, _whole))

    def put_file(self, key: str, path: Path) -> None:
        full = self._full(key)
        if not path.is_file():
            raise StoreError(f"store {self.where}: cannot write {key}: there is no file {path}")

        def write() -> None:
            # In one part where it fits, else in several that become one object at the end.
            _made(self._client.fput_object(self.bucket, full, str(path), part_size=PART))

        self._ask(f"write {key}", write, path.stat().st_size)

    def get_file(self, key: str, path: Path) -> bool:
        def fetch() -> bool:
            self._read(key, lambda body: write_stream(path, body))
            return True

        return bool(self._ask(f"read {key}", fetch))

    def stat(self, key: str) -> int | None:
        full = self._full(key)
        found = self._ask(f"look for {key}", lambda: self._client.stat_object(self.bucket, full))
        return None if found is None else int(found.size or 0)

    def list(self, prefix: str) -> Iterator[str]:
        full = self._full(prefix) + "/"
        cut = len(self.prefix) + 1 if self.prefix else 0

        def names() -> list[str]:
            found = set()
            for item in self._client.list_objects(self.bucket, prefix=full, recursive=True):
                name = str(item.object_name)
                if name in found or not name.startswith(full):
                    raise ValueError("a list that goes round in circles")
                if not item.is_dir:
                    found.add(name)
            return sorted(name[cut:] for name in found)

        yield from self._ask(f"list {prefix}", names) or []

    def delete(self, key: str) -> None:
        full = self._full(key)
        self._ask(f"delete {key}", lambda: self._client.remove_object(self.bucket, full))

    def _full(self, key: str) -> str:
        relative_name(key, f"store {self.where}: the key")
        return f"{self.prefix}/{key}" if self.prefix else key

    def _read(self, key: str, consume: Callable[[Any], Result]) -> Result:
        response = self._client.get_object(self.bucket, self._full(key))
        size = finite(response.headers.get("Content-Length", ""), 0, PART * 10_000)
        _this_call.deadline.until += (size or 0) / SLOWEST
        try:
            return consume(response)  # urllib3 raises for a body that ends before its length
        finally:
            response.close()
            response.release_conn()

    def _ask(self, what: str, call: Callable[[], Result], size: int = 0) -> Result | None:
        """Call the client for `size` bytes; None: no such object; StoreError: any other failure."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError, MaxRetryError

        problem = f"store {self.where}: cannot {what}"
        deadline = _Deadline(time.monotonic() + CALL_SECONDS + size / SLOWEST)
        for attempt in range(1, TRIES + 1):
            try:
                return _in_time(deadline, call)
            except TimeoutError:
                raise StoreError(f"{problem}: no whole answer in time", BUSY) from None
            except S3Error as error:
                if error.code in NOT_THERE:
                    return None
                if attempt == TRIES or error.code != UPLOAD_OVER:
                    raise StoreError(f"{problem}: {error.code}", _fix(error)) from None
            except (MinioException, HTTPError, ConnectionError) as error:
                if attempt == TRIES or isinstance(error, MaxRetryError):  # repeated already
                    raise _unanswered(problem, error) from None
            except OSError as error:  # of the file here, not of the connection
                fix = "make room, or check the rights"
                raise StoreError(f"{problem}: {error.strerror}", fix) from None
            except NO_S3 as error:
                reason = f"the answer is not of an S3 server ({type(error).__name__})"
                raise StoreError(f"{problem}: {reason}", _where_is_s3()) from None
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")


@dataclass
class _Deadline:
    """When a call ends; it may be moved while the call lasts."""

    until: float


_this_call = threading.local()  # .deadline of the call that a thread works for


def _in_time(deadline: _Deadline, call: Callable[[], Result]) -> Result:
    """Return what `call` returns by its deadline, or raise TimeoutError and leave it behind."""
    answers = queue.SimpleQueue[tuple[Result | None, BaseException | None]]()

    def work() -> None:
        _this_call.deadline = deadline
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=work, name="s3", daemon=True).start()
    while (left := deadline.until - time.monotonic()) > 0:
        try:
            result, problem = answers.get(timeout=left)
        except queue.Empty:
            continue
        if problem:
            raise problem
        return result  # type: ignore[return-value]
    raise TimeoutError


def connect() -> Any:
    """Return a client of the library `minio`; raise ConfigError for a wrong variable."""
    import certifi
    import urllib3
    from minio import Minio

    class Pool(urllib3.PoolManager):
        def urlopen(self, *arguments: Any, **more: Any) -> Any:
            deadline = getattr(_this_call, "deadline", None)
            if deadline and time.monotonic() > deadline.until:
                raise TimeoutError  # nobody waits any more: a list without an end stops here
            return super().urlopen(*arguments, **more)

    scheme, _, place = s3_endpoint().partition("://")
    return Minio(
        place,
        access_key=environment(*ACCESS_KEY) or None,
        secret_key=environment(*SECRET_KEY) or None,
        session_token=environment(*SESSION_TOKEN) or None,
        region=s3_region(),
        secure=scheme == "https",
        http_client=Pool(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            maxsize=10,
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            # None: POST too, which begins and ends an upload in parts
            retries=urllib3.Retry(
                total=4,
                read=2,
                redirect=False,  # never another server than the one that is named
                backoff_factor=0.3,
                status_forcelist=[429, 500, 502, 503, 504],
                allowed_methods=None,
            ),
        ),
    )


def clock_skew(date: str | None) -> float:
    """Return how many seconds this machine's clock is ahead of a `Date` header; 0 without one."""
    from minio import time as clock

    now: datetime = clock.utcnow()  # what requests are signed with
    return -(seconds_until(date or "", now.astimezone(UTC)) or 0.0)


def _made(written: Any) -> None:
    """Raise for an answer of 200 that holds an error, which the client takes for success."""
    from minio.error import ServerError

    if not written.etag:
        raise ServerError("the server did not make an object of it", 200)


def _whole(body: Any) -> bytes:
    data = bytes(body.read(WHOLE + 1))
    if len(data) > WHOLE:
        raise ValueError("an object larger than any of ours")
    return data


def _unanswered(problem: str, error: Exception) -> StoreError:
    from minio.error import ServerError
    from urllib3.exceptions import ResponseError

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, (ResponseError, ServerError)):  # it answered, but only errors
        return StoreError(f"{problem}: {reason}", BUSY)
    return StoreError(f"{problem}: {type(reason).__name__}", _where_is_s3())


def _where_is_s3() -> str:
    return f"is {_named(*ENDPOINT)} right and up?"


def _fix(error: Any) -> str:
    """Return what to do about an S3 error; a clock that is off looks like wrong credentials."""
    headers = getattr(error.response, "headers", None) or {}
    skew = clock_skew(headers.get("Date"))
    if error.code == "RequestTimeTooSkewed" or abs(skew) > SKEW_SECONDS:
        return f"this machine's clock is off by {abs(skew):.0f} s: set it"
    region = headers.get("x-amz-bucket-region", "")
    if _REGION.fullmatch(region) and region != s3_region():
        return f"set {_named(*REGION)}={region}"
    if error.code == "NoSuchBucket":
        return "create the bucket, or name another store"
    if error.code.endswith("Redirect"):
        return _where_is_s3()
    if error.code in ("SlowDown", "ServiceUnavailable", "InternalError", UPLOAD_OVER):
        return BUSY
    return f"check {_named(*ACCESS_KEY)}, {_named(*SECRET_KEY)} and their rights"
