"""One request at a time, at one pace, for all processes and pods of an installation."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from kubernetes import client

from components.scrape.config import ScrapeConfig
from components.scrape.kubernetes_lease import GRANT, KubernetesLease
from components.scrape.lease import FileLease, Lease, open_lease
from components.scrape.standin.corpus import Corpus
from components.scrape.standin.server import Request, StandIn
from components.shared.cluster import Cluster
from components.shared.errors import ClusterError, ToolError
from components.shared.http import FetchError
from pipelines.cli import parser
from tests.components.scrape.conftest import VirtualClock, make_entry
from tests.components.scrape.lease_api import LeaseServer

PACE = 0.03
ASK = """
import sys
from components.scrape.config import ScrapeConfig
from components.scrape.site import Site
from components.shared.http import FetchError
url, state, count, pace = sys.argv[1:]
config = ScrapeConfig(site=url, state=state, store=state, seconds_between_requests=float(pace))
with Site(config) as site:
    for number in range(int(count)):
        try:
            site.read(f"{url}/pdf/2406.00001v1?{number}", bytes)
        except FetchError:
            pass
"""


def violations(requests: list[Request], pace: float) -> list[str]:
    """Return what a site could complain about."""
    found = []
    for earlier, later in pairwise(sorted(requests, key=lambda request: request.time)):
        if later.time < earlier.ended:
            found.append(f"two at a time: {earlier} {later}")
        if later.time - earlier.time < pace:
            found.append(f"only {later.time - earlier.time:.4f} s apart: {earlier} {later}")
    return found


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.soak)])
def test_four_processes_at_once_keep_one_pace(tmp_path: Path, count: int) -> None:
    faults = ["ok"] * 10 + ["429:1"] + ["ok"] * 10 + ["503:1", "reset", "503"]
    with StandIn(Corpus((make_entry("2406.00001"),)), faults={"/pdf": faults}) as site:
        command = [sys.executable, "-c", ASK, site.url, str(tmp_path), str(count // 4), str(PACE)]
        processes = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(900) for process in processes] == [0] * 4
    assert len(site.requests) >= count
    assert violations(site.requests, PACE) == []
    busy = [
        later.time - earlier.ended
        for earlier, later in pairwise(site.requests)
        if earlier.status in (429, 503)
    ]
    assert [pause >= least for pause, least in zip(busy, (1, 1, 2.5 * PACE), strict=True)] == [
        True
    ] * 3


def test_a_violation_would_be_noticed() -> None:
    requests = [Request(0.0, "GET", "/", 200, 0, 0.5), Request(0.4, "GET", "/", 200, 0, 0.6)]
    assert len(violations(requests, 1.0)) == 2


def test_retry_after_binds_every_process(tmp_path: Path) -> None:
    with StandIn(Corpus((make_entry("2406.00001"),)), faults={"/pdf": ["429:2"]}) as site:
        command = [sys.executable, "-c", ASK, site.url, str(tmp_path), "3", "0"]
        processes = [subprocess.Popen(command) for _ in range(2)]
        assert [process.wait(900) for process in processes] == [0] * 2
    busy = next(request for request in site.requests if request.status == 429)
    assert min(r.time for r in site.requests if r.time > busy.time) - busy.ended >= 2


def test_the_time_of_the_last_request_outlives_the_process(tmp_path: Path) -> None:
    with FileLease(tmp_path / "lease").turn("", "", {"": 0.5}):
        pass
    started = time.time()
    with FileLease(tmp_path / "lease").turn("", "", {"": 0.5}):
        assert time.time() - started > 0.4


def test_a_process_killed_in_its_turn_leaves_the_lease_with_the_pace(tmp_path: Path) -> None:
    code = f"""
import time, pathlib
from components.scrape.lease import FileLease
with FileLease(pathlib.Path({str(tmp_path / "lease")!r})).turn("", "", {{"": 1.0}}):
    print("mine", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        began = time.time()
        holder.send_signal(signal.SIGKILL)
    with FileLease(tmp_path / "lease").turn("", "", {}):
        assert 0.5 < time.time() - began < 300


def test_a_lease_cut_off_by_a_crash_is_read_as_just_used(tmp_path: Path) -> None:
    (tmp_path / "lease").write_text('{"free_at": 17')
    started = time.time()
    with FileLease(tmp_path / "lease").turn("", "", {}):
        assert time.time() - started > 0.9


def test_without_a_home_the_state_lies_in_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lease = open_lease(ScrapeConfig(lease="file"))
    assert isinstance(lease, FileLease)
    assert lease.path == tmp_path / f"arxtune-{os.getuid()}" / "leases" / "arxiv.org.json"


def pod(server: LeaseServer, duration_s: float = 30) -> KubernetesLease:
    """Return the lease as one more pod sees it."""
    api = client.ApiClient(client.Configuration(host=server.url))
    return KubernetesLease(
        Cluster(api, "ns", "pod", GRANT), "arxtune-requests-arxiv.org", duration_s, poll_s=0.02
    )


def test_pods_take_turns_at_one_pace_in_spite_of_conflicts() -> None:
    turns: list[tuple[float, float]] = []

    def work(lease: Lease) -> None:
        for _ in range(5):
            with lease.turn("", "", {"": 0.05}):
                began = time.time()
                time.sleep(0.01)
                turns.append((began, time.time()))

    with LeaseServer(meeting=4) as server:
        threads = [threading.Thread(target=work, args=(pod(server),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        assert len(turns) == 20
        assert server.conflicts >= 3, "pods that never meet prove nothing"
        (lease,) = server.leases.values()
        assert lease["spec"]["holderIdentity"] == ""
    assert all(later[0] - earlier[1] >= 0.05 for earlier, later in pairwise(sorted(turns)))


def test_a_pod_that_died_with_the_lease_is_waited_for_and_followed() -> None:
    with LeaseServer() as server:
        dead = pod(server, duration_s=1)
        dead._acquire()
        began = time.monotonic()
        with pod(server, duration_s=1).turn("", "", {}):
            assert 0.9 < time.monotonic() - began < 300


@pytest.mark.soak
def test_a_long_request_keeps_the_lease_by_renewing_it() -> None:
    with LeaseServer() as server:
        lease, got_it = pod(server, duration_s=4), threading.Event()

        def other() -> None:
            with pod(server, duration_s=4).turn("", "", {}):
                got_it.set()

        with lease.turn("", "", {}):
            thread = threading.Thread(target=other)
            thread.start()
            for _ in range(14):
                time.sleep(0.4)
                lease.renew()
            assert not got_it.is_set()
        thread.join(600)
        assert got_it.is_set()


def test_a_block_is_seen_by_every_pod() -> None:
    with LeaseServer() as server:
        with pod(server).turn("", "", {}) as state:
            state.block("", 60, "HTTP 403")
        with (
            pytest.raises(FetchError, match=r"left alone: until .* because of HTTP 403"),
            pod(server).turn("", "", {}),
        ):
            pass


def test_a_pod_without_the_right_says_what_to_grant() -> None:
    with (
        LeaseServer(forbidden=True) as server,
        pytest.raises(ClusterError, match="grant get, create and update"),
    ):
        pod(server)._acquire()


def test_outside_a_cluster_the_lease_is_a_file_and_kubernetes_is_refused(
    configure: Callable[..., ScrapeConfig],
) -> None:
    assert isinstance(open_lease(configure("http://127.0.0.1:1")), FileLease)
    with pytest.raises(ToolError, match=r"scrape.lease=kubernetes.*scrape.lease=file"):
        open_lease(configure("http://127.0.0.1:1", lease="kubernetes"))


def test_the_state_is_readable_json(tmp_path: Path) -> None:
    with FileLease(tmp_path / "lease").turn("a", "a/x", {"a": 9, "": 3}) as state:
        state.block("a/x", 60, "HTTP\x1b[2J 503")
    held = json.loads((tmp_path / "lease").read_text())
    assert set(held["free_at"]) == {"a", ""}
    assert held["blocked"]["a/x"][1] == "HTTP 503"


@pytest.mark.parametrize(
    "text",
    [
        '{"free_at": 17',
        "[]",
        "null",
        '{"free_at": {"": "soon"}, "blocked": {"": [1e308, "x"]}}',
        '{"free_at": {"": 1e18}, "blocked": {"": [99999999999999, "x"]}}',
        '{"blocked": {"": 5}}',
    ],
)
def test_a_damaged_state_stops_nobody(tmp_path: Path, virtual: VirtualClock, text: str) -> None:
    (tmp_path / "lease").write_text(text)
    began = virtual.now()
    with FileLease(tmp_path / "lease").turn("", "", {}):
        assert virtual.now() - began <= 3601


def test_what_is_left_alone_can_be_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = "http://127.0.0.1:1"
    lease = open_lease(ScrapeConfig(site=site, state=str(tmp_path)))
    with lease.turn("h", "/pdf/", {"h": 0}) as state:
        state.block("/pdf/", 3600, "HTTP 429")
    command = parser().parse_args(["unpark", "--site", site, "--state", str(tmp_path)])
    command.command(command)
    command.command(command)
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"{site}/pdf/: asked again; it was left alone because of HTTP 429",
        f"{site}: nothing is left alone",
    ]
    with lease.turn("h", "/pdf/", {"h": 0}):
        pass
