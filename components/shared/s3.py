"""A store in a bucket of any S3, through the `minio` client and the plain subset of S3 that every server has."""

import io
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from components.shared.errors import StoreError
from components.shared.records import write_stream
from components.shared.store import Store

PART = 16 << 20  # bytes a part of an upload; S3 allows 10,000 of them: objects up to 160 GiB
TRIES = 3  # of a whole transfer that was cut in the middle; single requests are also repeated by the client
CONNECT_SECONDS, READ_SECONDS = 10, 60  # a server that stays silent is given up after three reads
SKEW_SECONDS = 300  # servers refuse signatures that are older; S3 allows 15 minutes, some less
NOT_THERE = ("NoSuchKey", "NoSuchObject")
UPLOAD_OVER = "NoSuchUpload"  # what a repeated last request of an upload may get when the first one's answer was lost
BUSY = "the server is busy or broken: try again later"

Result = TypeVar("Result")


class S3Store(Store):
    """Endpoint and credentials come from the usual AWS_* environment variables, never from the URL."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix.strip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
        self.where = f"s3://{bucket} at {endpoint}"
        self._client = connect(endpoint)
        if not self._ask("look for the bucket", lambda: self._client.bucket_exists(bucket)):
            raise StoreError(
                f"store {self.where}: there is no such bucket", "create it, or name another store"
            )

    def put(self, key: str, data: bytes) -> None:
        full = self._full(key)
        self._ask(
            f"write {key}",
            lambda: self._client.put_object(self.bucket, full, io.BytesIO(data), len(data)),
        )

    def get(self, key: str) -> bytes | None:
        return self._ask(f"read {key}", lambda: self._read(key, lambda body: bytes(body.read())))

    def put_file(self, key: str, path: Path) -> None:
        full = self._full(key)
        if not path.is_file():
            raise StoreError(f"store {self.where}: cannot write {key}: there is no file {path}")

        def write() -> None:
            from minio.error import ServerError

            # In one part where it fits, else in several that become one object when the last has arrived.
            made = self._client.fput_object(self.bucket, full, str(path), part_size=PART)
            if (
                not made.etag
            ):  # S3 may answer 200 and an error in the body, which the client takes for success
                raise ServerError("the parts did not become an object", 200)

        self._ask(f"write {key}", write)

    def get_file(self, key: str, path: Path) -> bool:
        def fetch() -> bool:
            self._read(key, lambda body: write_stream(path, body))
            return True

        return bool(self._ask(f"read {key}", fetch))

    def stat(self, key: str) -> int | None:
        found = self._ask(
            f"look for {key}", lambda: self._client.stat_object(self.bucket, self._full(key))
        )
        return None if found is None else int(found.size or 0)

    def list(self, prefix: str) -> Iterator[str]:
        full = self._full(prefix) + "/"
        cut = len(self.prefix) + 1 if self.prefix else 0

        def names() -> list[str]:
            found = self._client.list_objects(self.bucket, prefix=full, recursive=True)
            return sorted(str(item.object_name)[cut:] for item in found if not item.is_dir)

        yield from self._ask(f"list {prefix}", names) or []

    def delete(self, key: str) -> None:
        self._ask(f"delete {key}", lambda: self._client.remove_object(self.bucket, self._full(key)))

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _read(self, key: str, consume: Callable[[Any], Result]) -> Result:
        response = self._client.get_object(self.bucket, self._full(key))
        try:
            return consume(
                response
            )  # a body that ends early raises: urllib3 counts what was announced
        finally:
            response.close()
            response.release_conn()

    def _ask(self, what: str, call: Callable[[], Result]) -> Result | None:
        """Call the client; None means that there is no such object, every other failure is a StoreError."""
        from minio.error import MinioException, S3Error, ServerError
        from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError

        problem = f"store {self.where}: cannot {what}"
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except S3Error as error:
                if error.code in NOT_THERE:
                    return None
                if attempt == TRIES or error.code != UPLOAD_OVER:
                    raise StoreError(f"{problem}: {error.code}", _fix(error)) from None
            except (MinioException, HTTPError, ConnectionError) as error:
                if attempt == TRIES or isinstance(
                    error, MaxRetryError
                ):  # the client has repeated it already
                    reason = getattr(error, "reason", None) or error
                    if isinstance(
                        reason, (ResponseError, ServerError)
                    ):  # it answered, but only errors
                        raise StoreError(f"{problem}: {reason}", BUSY) from None
                    raise StoreError(
                        f"{problem}: {type(reason).__name__}", "is AWS_ENDPOINT_URL right and up?"
                    ) from None
            except OSError as error:  # of the file here, not of the connection
                raise StoreError(
                    f"{problem}: {error.strerror}", "make room, or check the rights"
                ) from None
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")


def connect(endpoint: str) -> Any:
    """Return a client for an endpoint, with the AWS_* credentials of the environment."""
    import certifi
    import urllib3
    from minio import Minio

    parts = urlsplit(endpoint)
    return Minio(
        parts.netloc,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
        region=os.environ.get("AWS_REGION") or "us-east-1",
        secure=parts.scheme == "https",
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            maxsize=10,
            ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            # None: POST too, which begins and ends an upload in parts
            retries=urllib3.Retry(
                total=4,
                read=2,
                backoff_factor=0.3,
                status_forcelist=[429, 500, 502, 503, 504],
                allowed_methods=None,
            ),
        ),
    )


def clock_skew(date: str | None) -> float:
    """Return how many seconds this machine's clock is ahead of a server's `Date` header; 0 when there is none."""
    from minio import time as clock

    if not date:
        return 0.0
    now: datetime = clock.utcnow()  # what requests are signed with
    return (now.astimezone(UTC) - parsedate_to_datetime(date)).total_seconds()


def _fix(error: Any) -> str:
    """Return what to do about an S3 error; a clock that is off looks like wrong credentials to many servers."""
    headers = getattr(error.response, "headers", None) or {}
    skew = clock_skew(headers.get("Date"))
    if error.code == "RequestTimeTooSkewed" or abs(skew) > SKEW_SECONDS:
        return f"this machine's clock is off by {abs(skew):.0f} s: set it"
    if error.code in ("NoSuchBucket",):
        return "create the bucket, or name another store"
    if error.code in ("SlowDown", "ServiceUnavailable", "InternalError", UPLOAD_OVER):
        return BUSY
    return "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their rights"
