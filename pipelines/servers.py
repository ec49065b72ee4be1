"""Servers of the embedded default, on loopback, ended with the run: a real S3 store and the stand-in arXiv."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.shared.errors import SourceError, StoreError, ToolError
from components.shared.lifetime import die_with_parent
from components.shared.records import write_atomically

BUCKET = "arxtune"
START_SECONDS = 60


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on now."""
    with contextlib.ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for held_socket in held:
            held_socket.bind(("127.0.0.1", 0))
        return [int(held_socket.getsockname()[1]) for held_socket in held]


@contextlib.contextmanager
def _server(
    command: Sequence[str], log: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server whose output goes to `log`; it ends with this block, and with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def s3_server(home: Path) -> Iterator[dict[str, str]]:
    """Serve `home`/store as S3 on loopback; yield the AWS_* variables that open it. The bucket exists by then."""
    weed = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
    if weed is None:
        raise ToolError("the S3 server 'weed' is not installed", "name a folder by --store")
    data = home / "store"
    data.mkdir(parents=True, exist_ok=True)
    for state in data.glob(
        "m[0-9]*"
    ):  # election state, one folder a master port; ours changes with each run
        shutil.rmtree(state)
    names = ("master", "volume", "filer", "s3", "webdav", "admin")
    ports = free_ports(2 * len(names))
    flags = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    grpc = [
        f"-{name}.port.grpc={p}"
        for name, p in zip(names, ports[len(names) :], strict=True)
        if name != "webdav"
    ]
    environment = {
        **_credentials(home),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[3]}",
        "AWS_REGION": "us-east-1",
    }
    command = [
        weed, "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}",
        "-master.telemetry=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false", *flags, *grpc,
    ]  # fmt: skip
    with _server(command, home / "logs" / "store.log", environment) as process:
        _wait_for_bucket(process, environment, home / "logs" / "store.log")
        yield environment


def _credentials(home: Path) -> dict[str, str]:
    """Return the store's credentials, made once per home and readable by its owner alone."""
    path = home / "store-credentials.json"
    if not path.exists():
        made = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }
        write_atomically(path, json.dumps(made))
        path.chmod(0o600)
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    return found


def _wait_for_bucket(
    process: subprocess.Popen[bytes], environment: dict[str, str], log: Path
) -> None:
    from minio import Minio

    client = Minio(
        environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        region=environment["AWS_REGION"],
        secure=False,
    )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(
            Exception
        ):  # whatever it is while the server starts, the deadline decides
            if client.bucket_exists(BUCKET):
                return
        time.sleep(0.1)
    raise StoreError(
        "the embedded S3 server did not start", f"see {log}, or name a folder by --store"
    )


@contextlib.contextmanager
def stand_in_site(home: Path, papers: Path | None = None) -> Iterator[str]:
    """Serve the stand-in arXiv, with the sample papers or a folder of PDFs; yield its URL."""
    log, requests = home / "logs" / "site.log", home / "logs" / "requests.jsonl"
    command = [
        sys.executable,
        "-m",
        "components.scrape.standin",
        "--port",
        "0",
        "--log",
        str(requests),
    ]
    start = log.stat().st_size if log.exists() else 0
    with _server([*command, *(["--papers", str(papers)] if papers else [])], log, {}) as process:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            text = log.read_bytes()[start:].decode("utf-8", "replace") if log.exists() else ""
            if found := re.search(r"http://127\.0\.0\.1:\d+", text):
                yield found.group()
                return
            if ended:
                break
            time.sleep(0.05)
        lines = text.strip().splitlines() or [f"see {log}"]
        raise SourceError(
            f"the stand-in arXiv did not start: {lines[-1].removeprefix('arxtune: error: ')}"
        )
