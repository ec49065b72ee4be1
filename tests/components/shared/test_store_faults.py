"""The store keeps its promises under faults: in a folder, on a real S3 server, on any named one.

Values are whole whenever they are read, whoever writes, is cut off or is killed; what a second try
can mend is tried again; what it cannot ends in one line that says what to do. `Proxy` makes the
faults of the network.

ARXTUNE_TEST_STORE=s3://bucket/prefix runs the suite there too, with the AWS_* variables of the
environment. That server must take the bucket from the path and any Host, as the proxy keeps the one
it was asked by.
"""

import hashlib
import http.client
import multiprocessing
import os
import random
import re
import threading
import time
import tracemalloc
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import minio.time
import pytest

from components.shared import s3
from components.shared.errors import StoreError
from components.shared.records import file_digest, write_atomically
from components.shared.s3 import PART
from components.shared.store import Store, open_store
from pipelines.store_server import s3_server

NAMED = os.environ.get("ARXTUNE_TEST_STORE", "").rstrip("/")
BUCKETS = ["s3", *(["named"] if NAMED else [])]
WRITERS, ROUNDS, KILLS = 8, 30, int(os.environ.get("ARXTUNE_KILLS", "6"))
_FORK = multiprocessing.get_context("fork")
in_buckets = pytest.mark.parametrize(
    "url", BUCKETS, indirect=True
)  # for faults that a folder does not have
AT_THE_END = [
    "POST .*uploadId=: 200 InternalError",
    "POST .*uploadId=: 404 NoSuchUpload",
]  # S3 may err after its 200
LINES = {
    "503 SlowDown": "too many 503 error responses; the server is busy or broken",
    "drop": "ProtocolError; is AWS_ENDPOINT_URL right and up",
    "cut reply": "ProtocolError; is AWS_ENDPOINT_URL right and up",
    "silence": "ReadTimeoutError; is AWS_ENDPOINT_URL right and up",
    "stall": "ReadTimeoutError; is AWS_ENDPOINT_URL right and up",
    "403 RequestTimeTooSkewed": "RequestTimeTooSkewed; this machine's clock is off by 3[56].. s",
    "403 SignatureDoesNotMatch": "SignatureDoesNotMatch; check AWS_ACCESS_KEY_ID",
    "404 NoSuchBucket": "NoSuchBucket; create the bucket",
}


class Proxy(ThreadingHTTPServer):
    """Pass requests on to a server, but for those that `rule` names a fault for."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target, self.over = urlsplit(endpoint), threading.Event()
        self.fail("")
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def fail(self, fault: str, times: int = 10**9) -> None:
        """Make each different request fail so often; of `regex: fault` those that it finds."""
        (only, _, what), seen = fault.rpartition(": "), Counter[str]()

        def rule(request: str) -> str:
            request = re.sub("uploadId=[^&]*", "uploadId=", request)
            seen[request] += re.search(only, request) is not None
            return what if 0 < seen[request] <= times else ""

        self.rule = rule


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def relay(self) -> None:
        fault, target = self.server.rule(f"{self.command} {self.path}"), self.server.target
        self.close_connection = bool(fault)
        if fault in ("silence", "drop"):  # with its body unread the client sees a reset
            self.server.over.wait(0 if fault == "drop" else None)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault[:1].isdigit():  # a status and the code of an S3 error
            date = self.date_time_string(time.time() + 3600 * ("Skewed" in fault))
            status, headers = int(fault[:3]), {"Content-Type": "application/xml", "Date": date}
            data = f"<Error><Code>{fault[4:]}</Code></Error>".encode()
        else:
            kind = (
                http.client.HTTPSConnection
                if target.scheme == "https"
                else http.client.HTTPConnection
            )
            with closing(kind(target.netloc, timeout=60)) as upstream:
                upstream.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body[: len(body) // 2] if fault == "cut" else body)
                if fault == "cut":
                    return
                reply = upstream.getresponse()
                status, headers, data = reply.status, dict(reply.getheaders()), reply.read()
        headers.pop("Transfer-Encoding", None)
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault in ("cut reply", "stall") else data)
        if fault == "stall":
            self.server.over.wait()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("home")) as environment:
        yield environment


@pytest.fixture(params=["folder", *BUCKETS])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield the URL of an empty store, with the environment that opens it."""
    place, root = (
        uuid.uuid4().hex,
        {"folder": str(tmp_path), "s3": "s3://arxtune"}.get(request.param, NAMED),
    )
    if request.param == "s3":
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        for name, value in request.getfixturevalue("server").items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
    outer = open_store(root)
    yield f"{root}/{place}"
    for key in outer.list(place):
        outer.delete(key)


@pytest.fixture
def proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
        yield proxy
        proxy.over.set()
        proxy.shutdown()


def made(path: Path, size: int) -> Path:
    write_atomically(path, os.urandom(size))  # random: parts left out or swapped show
    return path


def sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


@pytest.mark.soak
def test_a_file_of_many_parts_comes_back_and_is_never_whole_in_memory(
    url: str, tmp_path: Path
) -> None:
    store, file = open_store(url), made(tmp_path / "file", 12 * PART + 12345)
    tracemalloc.start()
    store.put_file("big", file)
    assert tracemalloc.get_traced_memory()[1] < 8 * PART
    tracemalloc.reset_peak()
    assert store.get_file("big", tmp_path / "back")
    assert tracemalloc.get_traced_memory()[1] < 2 * PART
    tracemalloc.stop()
    assert file_digest(tmp_path / "back") == file_digest(file)


@pytest.mark.soak
@in_buckets
@pytest.mark.parametrize(
    "fault", ["500 InternalError", "503 SlowDown", "drop", "cut", "cut reply", *AT_THE_END]
)
def test_what_fails_twice_is_tried_again(
    url: str, proxy: Proxy, fault: str, tmp_path: Path
) -> None:
    file = made(tmp_path / "file", 2 * PART + 1)
    proxy.fail(fault, times=2)
    store = open_store(url)
    keys = [store.append("log", {"n": n}) for n in range(2)]
    assert list(store.list("log")) == keys
    store.put_file("big", file)
    assert store.stat("big") == 2 * PART + 1
    assert store.get_file("big", tmp_path / "back")
    assert file_digest(tmp_path / "back") == file_digest(file)
    store.delete("big")
    assert store.get("big") is None


@pytest.mark.soak
@in_buckets
@pytest.mark.parametrize(
    "fault", ["PUT: cut", "partNumber=2: cut", "POST .*uploadId=: cut reply", *AT_THE_END]
)
def test_an_upload_cut_off_leaves_the_old_or_the_new(
    url: str, proxy: Proxy, fault: str, tmp_path: Path
) -> None:
    store, old = open_store(url), made(tmp_path / "old", 2 * PART)
    new = made(tmp_path / "new", PART // 2 if fault == "PUT: cut" else 2 * PART + 9)
    store.put_file("up/there", old)
    proxy.fail(fault)
    for key, before in (("up/there", file_digest(old)), ("up/fresh", None)):
        with pytest.raises(
            StoreError,
            match=f"cannot write {key}: .*(AWS_ENDPOINT_URL right and up|try again later)",
        ):
            store.put_file(key, new)
        assert sha256(store.get(key)) in (before, file_digest(new))
        assert (key in store.list("up")) == (store.stat(key) is not None)
    proxy.fail("")
    for key in ("up/there", "up/fresh"):
        store.put_file(key, new)
        assert sha256(store.get(key)) == file_digest(new)


@in_buckets
@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=[] if f[0] == "4" else pytest.mark.soak) for f in LINES]
)
def test_a_fault_that_stays_is_one_line_that_says_what_to_do(
    url: str, proxy: Proxy, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "READ_SECONDS", 2)
    store, started = open_store(url), time.monotonic()
    store.put("a", b"value" * 100_000)
    proxy.fail(fault)
    with pytest.raises(StoreError, match="cannot read a: " + LINES[fault]):
        store.get_file("a", tmp_path / "got")
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 120


@in_buckets
def test_a_wrong_bucket_key_clock_or_target_is_one_line(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no such bucket; create it"):
        open_store(f"s3://arxtune-{uuid.uuid4().hex}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "wrong")
            with pytest.raises(StoreError, match="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"):
                open_store(url)
    store, now = open_store(url), minio.time.utcnow
    store.put("a", b"value")
    with pytest.raises(StoreError, match=r"cannot read a: .*; make room, or check the rights"):
        store.get_file("a", Path("/proc/none/file"))
    with monkeypatch.context() as patch:
        patch.setattr(minio.time, "utcnow", lambda: now() + timedelta(hours=1))
        for ask in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: open_store(url)):
            with pytest.raises(
                StoreError, match=r"this machine's clock is off by 3[56]\d\d s: set it"
            ):
                ask()


def _race(url: str, writer: int) -> None:
    store = open_store(url)
    for number in range(ROUNDS):
        store.put("key", bytes([writer]) * (100_000 + writer))
        store.append("log", {"writer": writer, "number": number})
        value = store.get("key") or b"nothing"
        assert value == bytes([value[0]]) * (100_000 + value[0])
        assert set(store.latest("log") or {}) == {"writer", "number"}


@pytest.mark.soak
def test_processes_racing_lose_and_mix_nothing(url: str) -> None:
    store = open_store(url)
    writers = [
        _FORK.Process(target=_race, args=(url, number), daemon=True) for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    entries = [store.get_json(key) for key in store.list("log")]
    wanted = [(writer, number) for writer in range(WRITERS) for number in range(ROUNDS)]
    assert sorted((entry["writer"], entry["number"]) for entry in entries) == wanted


def _write_for_ever(url: str, prefix: str, folders: list[Path]) -> None:
    store = open_store(url)
    for number in range(10**9):
        store.put_file(f"{prefix}/files/{number % 3}", folders[number % 2] / "big")
        store.put_folder(f"{prefix}/folders/{number % 3}", folders[number % 2])


def _check_whole(store: Store, prefix: str, whole: dict[str, str], scratch: Path) -> int:
    """Assert that all there is, is whole; return how many files and folders there are."""
    listed, seen = list(store.list(f"{prefix}/files")), 0
    for number in range(3):
        key = f"{prefix}/files/{number}"
        there = store.stat(key) is not None
        value = store.get(key)
        assert sha256(value) in whole or not (value is not None or there or key in listed)
        if store.get_folder(f"{prefix}/folders/{number}", scratch):
            assert whole[file_digest(scratch / "big")] == file_digest(scratch / "sub" / "small")
            seen += 1
        seen += value is not None
    return seen


@pytest.mark.soak
def test_a_writer_killed_leaves_nothing_half_written(url: str, tmp_path: Path) -> None:
    store, choose, seen = open_store(url), random.Random(0), 0
    folders = [tmp_path / "a", tmp_path / "b"]
    whole = {
        file_digest(made(f / "big", 2 * PART + 7)): file_digest(made(f / "sub" / "small", 99))
        for f in folders
    }
    for kill in map(str, range(KILLS)):
        writer = _FORK.Process(target=_write_for_ever, args=(url, kill, folders), daemon=True)
        writer.start()
        until = time.monotonic() + choose.uniform(0.1, 3)
        while time.monotonic() < until:
            _check_whole(store, kill, whole, tmp_path / "got")
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
        seen += _check_whole(store, kill, whole, tmp_path / "got")
        store.put_file(f"{kill}/files/0", folders[0] / "big")
        assert sha256(store.get(f"{kill}/files/0")) == file_digest(folders[0] / "big")
    assert seen
