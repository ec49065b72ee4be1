"""The embedded store: one server for all commands of a home, whose one open door is locked, and
which ends last."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.shared.store import open_store
from pipelines.store_server import BUCKET, s3_server, weed

ROOT = Path(__file__).parents[2]
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PROPFIND", "OPTIONS")
PATHS = (
    "/",
    f"/buckets/{BUCKET}/kept",
    f"/{BUCKET}/kept",
    f"/{BUCKET}?recursive=true",
    "/1,01",
    "/dir/assign",
)
HOLD = """
import sys, time
from pathlib import Path
from pipelines.store_server import s3_server
with s3_server(Path(sys.argv[1])) as environment:
    print(environment["AWS_ENDPOINT_URL"], flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a home whose store holds one object while the server runs."""
    home = tmp_path_factory.mktemp("home")
    before = dict(os.environ)
    with s3_server(home) as environment:
        os.environ.update(environment)
        open_store(f"s3://{BUCKET}").put("kept", b"as it was")
        yield home
    os.environ.clear()
    os.environ.update(before)


def keeper(home: Path) -> psutil.Process:
    return psutil.Process(json.loads((home / "store.address").read_text())["pid"])


def doors(home: Path) -> list[int]:
    """Return the ports that the server's process listens on."""
    (server,) = keeper(home).children()
    listening = [c for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    return sorted(connection.laddr.port for connection in listening)


def test_no_door_reads_or_changes_anything_without_the_key(home: Path) -> None:
    ports = doors(home)
    assert len(ports) == 8
    for port in ports:
        for method in METHODS:
            for path in PATHS:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                try:
                    connection.request(
                        method, path, b"forged" if method in ("PUT", "POST") else None
                    )
                    answer = connection.getresponse().read()
                except (http.client.HTTPException, OSError):
                    continue  # a door that speaks no HTTP to strangers
                finally:
                    connection.close()
                assert b"as it was" not in answer
                assert b"auth" not in answer  # a token to a volume
    store = open_store(f"s3://{BUCKET}")
    assert store.stat("kept") == len(b"as it was")
    assert store.get("kept") == b"as it was"


def shell(home: Path, *flags: str) -> str:
    """Return what SeaweedFS's own shell prints of the store, asked through the doors between its
    parts."""
    (server,) = keeper(home).children()
    ports = dict(re.findall(r"-(\w+\.port(?:\.grpc)?)=(\d+)", " ".join(server.cmdline())))
    asked = [weed(), *flags, "shell"]
    for part in ("master", "filer"):
        asked.append(f"-{part}=127.0.0.1:{ports[f'{part}.port']}.{ports[f'{part}.port.grpc']}")
    with contextlib.suppress(subprocess.TimeoutExpired):  # it asks again and again
        done = subprocess.run(
            asked, input=b"fs.ls /buckets\n", capture_output=True, timeout=6, check=False
        )
        return done.stdout.decode()
    return ""


def test_the_doors_between_its_parts_want_the_certificate(home: Path) -> None:
    assert BUCKET in shell(home, f"-config_dir={home / 'store' / 'keys'}")  # the owner's
    assert BUCKET not in shell(home)


def test_other_users_read_nothing_on_disk(home: Path) -> None:
    assert (home / "store").stat().st_mode & 0o077 == 0
    assert (home / "store-credentials.json").stat().st_mode & 0o077 == 0


def test_a_second_command_uses_the_same_server(home: Path) -> None:
    with s3_server(home) as environment:
        assert environment["AWS_ENDPOINT_URL"] == os.environ["AWS_ENDPOINT_URL"]
    assert open_store(f"s3://{BUCKET}").get("kept") == b"as it was"  # and it outlives that command


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_after_its_last_user_however_that_one_ends(
    end: signal.Signals, tmp_path: Path
) -> None:
    user = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert user.stdout
    assert user.stdout.readline().startswith("http://127.0.0.1:")
    family = [keeper(tmp_path), *keeper(tmp_path).children()]
    ports = doors(tmp_path)
    user.send_signal(end)
    user.wait(60)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert [port for port in ports if list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock"))] == []


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(home: Path) -> None:
    (server,) = keeper(home).children()
    assert os.getsid(server.pid) != os.getsid(0)


def test_a_server_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "keys").write_text("in the way")
    started = time.monotonic()
    with pytest.raises(Exception, match=r"did not start; see .*store.log"), s3_server(tmp_path):
        pass
    assert time.monotonic() - started < 60
