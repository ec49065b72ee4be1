"""The embedded store: SeaweedFS on loopback, one server for all commands of a home folder.

The first command starts a keeper (`python -m pipelines.store_server HOME`), which runs the server
until no process uses it, however the last one ended. Users hold a shared lock on `store.users`;
the keeper holds `store.keeper`.

Only the S3 door answers, and only to the home's own key. The doors between SeaweedFS's parts ask
for a certificate and tokens that are made anew at each start; their HTTP is off.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.shared.errors import StoreError, ToolError
from components.shared.lifetime import (
    STORE_USERS,
    die_with_parent,
    exit_cleanly_on_sigterm,
    terminate,
)
from components.shared.records import write_atomically

BUCKET = "arxtune"
START_SECONDS = 60
END_SECONDS = 15
POLL_INTERVAL_S = 0.1
PARTS = ("master", "volume", "filer", "s3")
SCOPES = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


@contextlib.contextmanager
def s3_server(home: Path) -> Iterator[dict[str, str]]:
    """Serve `home`/store as S3 on loopback; yield the variables that open it. The bucket exists by
    then."""
    (home / "store").mkdir(parents=True, exist_ok=True)
    with (home / "store.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while another command is ending the server
        try:
            address = _started(home)
            environment = _credentials(home) | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{address['port']}",
                "AWS_REGION": "us-east-1",
            }
            for name, value in list(
                environment.items()
            ):  # by the names that win over the user's own AWS_*
                environment[name.replace("AWS_", "ARXTUNE_S3_")] = value
            environment[STORE_USERS] = str(Path(users.name).absolute())
            _wait_for_bucket(home, environment)
            yield environment
        finally:
            if _locked(users):  # nobody else uses it
                _end(home)


def _started(home: Path) -> dict[str, int]:
    """Return pid and port of the home's server, which is started when none runs."""
    log = home / "logs" / "store.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    weed()
    with (home / "store.start").open("a") as starting, log.open("ab") as output:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if _keeper_is_gone(home):
            (home / "store.address").unlink(missing_ok=True)
            command = [sys.executable, "-m", "pipelines.store_server", str(home.absolute())]
            root = Path(__file__).parent.parent
            keeper = subprocess.Popen(
                command,
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the command, which ends first
            )
            _wait(lambda: keeper.poll() is not None or (home / "store.address").exists())
    try:
        address: dict[str, int] = json.loads((home / "store.address").read_text("utf-8"))
    except (OSError, ValueError):
        raise _failed(home) from None
    return address


def _wait_for_bucket(home: Path, environment: dict[str, str]) -> None:
    import urllib3
    from minio import Minio

    client = Minio(
        environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
        # Its own retries pause for seconds where a look a moment later finds the server there.
        http_client=urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(5)),
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        region=environment["AWS_REGION"],
        secure=False,
    )

    def answers() -> bool:
        with contextlib.suppress(Exception):  # whatever it is while the server starts
            if not client.bucket_exists(BUCKET):
                client.make_bucket(BUCKET)
            return True
        return False

    if not _wait(lambda: answers() or _keeper_is_gone(home)) or _keeper_is_gone(home):
        raise _failed(home)


def _end(home: Path) -> None:
    """End the server and wait until it is gone, so that nothing of a command outlives it."""
    with contextlib.suppress(OSError, ValueError):
        pid = json.loads((home / "store.address").read_text("utf-8"))["pid"]
        if not _keeper_is_gone(home):
            os.kill(pid, signal.SIGTERM)
            _wait(lambda: _keeper_is_gone(home), END_SECONDS)


def _credentials(home: Path) -> dict[str, str]:
    """Return the store's credentials, made once per home and readable by its owner alone."""
    path = home / "store-credentials.json"
    if not path.exists():
        made = {
            "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        }
        write_atomically(path, json.dumps(made), mode=0o600)
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    return found


def weed() -> str:
    """Return the path of SeaweedFS's program."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which("weed", path=places)
    if found is None:
        raise ToolError("the S3 server 'weed' is not installed", "name a folder by --store")
    return found


def keep(home: Path) -> None:
    """Run the server until no process uses it, or SIGTERM comes."""
    exit_cleanly_on_sigterm()
    os.umask(0o077)
    home.joinpath("store").chmod(0o700)
    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context((home / "store.keeper").open("a"))
        users = stack.enter_context((home / "store.users").open("a"))
        fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ports = free_ports(2 * len(PARTS))
        stack.callback(_remove_sockets, ports)
        server = subprocess.Popen(
            _command(home, ports),
            stdin=subprocess.DEVNULL,
            env=os.environ | _credentials(home) | {"TMPDIR": str(home / "store" / "tmp")},
            preexec_fn=die_with_parent,
        )
        # On SIGTERM it waits for its own parts' streams, which do not end; what was written is on
        # disk by then.
        stack.callback(terminate, server, seconds=1)
        address = {"pid": os.getpid(), "port": ports[PARTS.index("s3")]}
        write_atomically(home / "store.address", json.dumps(address))
        stack.callback((home / "store.address").unlink, missing_ok=True)
        while server.poll() is None and not _locked(users):
            time.sleep(POLL_INTERVAL_S)


def _command(home: Path, ports: list[int]) -> list[str]:
    data, keys = home / "store", home / "store" / "keys"
    for state in data.glob(
        "m[0-9]*"
    ):  # election state, one folder a master port; ours changes with each start
        shutil.rmtree(state)
    (data / "tmp").mkdir(exist_ok=True)
    _make_keys(keys)
    http = [f"-{part}.port={port}" for part, port in zip(PARTS, ports, strict=False)]
    grpc_ports = ports[len(PARTS) :]
    grpc = [f"-{part}.port.grpc={port}" for part, port in zip(PARTS, grpc_ports, strict=True)]
    return [
        weed(), f"-config_dir={keys}", "-logtostderr=true", "server", f"-dir={data}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-disableHttp",
        "-filer.disableHttp", "-volume.max=0", "-volume.preStopSeconds=0",
        "-master.volumeSizeLimitMB=128", "-master.telemetry=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false", *http, *grpc,
    ]  # fmt: skip


def _make_keys(folder: Path) -> None:
    """Write a certificate that the server's parts know each other by, and the keys of the tokens
    that they ask for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "arxtune")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(secret)
    quoted = {name: json.dumps(str(folder / name)) for name in ("cert.pem", "key.pem")}
    lines = ["[grpc]", f"ca = {quoted['cert.pem']}"]
    for part in (*PARTS, "client"):
        lines += [f"[grpc.{part}]", f"cert = {quoted['cert.pem']}", f"key = {quoted['key.pem']}"]
    for scope in SCOPES:
        lines += [f"[{scope}]", f'key = "{secrets.token_hex(32)}"']
    (folder / "security.toml").write_text("\n".join(lines), "utf-8")


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on now."""
    with contextlib.ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for held_socket in held:
            held_socket.bind(("127.0.0.1", 0))
        return [int(held_socket.getsockname()[1]) for held_socket in held]


def _remove_sockets(ports: list[int]) -> None:
    """Remove what SeaweedFS leaves in /tmp, wherever TMPDIR is: a socket a door, of this user
    alone."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            path.unlink(missing_ok=True)


def _locked(file: Any) -> bool:
    """Take a file's lock for this process alone, if no other holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _keeper_is_gone(home: Path) -> bool:
    with (home / "store.keeper").open("a") as keeper:
        return _locked(keeper)


def _wait(happened: Any, seconds: float = START_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(POLL_INTERVAL_S)
    return False


def _failed(home: Path) -> StoreError:
    log = home / "logs" / "store.log"
    return StoreError(
        "the embedded S3 server did not start", f"see {log}, or name a folder by --store"
    )


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
