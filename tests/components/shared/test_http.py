"""The one HTTP client against servers that drip, flood, lie and lead away, over real sockets."""

import gzip
import itertools
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.http import (
    Client,
    FetchError,
    Outcome,
    Response,
    outcome_of,
    retry,
    retry_after,
)

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def server(*pieces: bytes, every_s: float = 0.0, for_ever: bool = False) -> Iterator[str]:
    """Send the same bytes to every client, piece by piece; yield the address."""

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536)
                for piece in itertools.cycle(pieces) if for_ever else pieces:
                    connection.sendall(piece)
                    time.sleep(every_s)
            except OSError:  # the client has left
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/page"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(proxies=False) as client:
        yield client


def fetch(client: Client, url: str, **more: object) -> Response:
    limits = {"deadline_s": 5.0, "max_bytes": 100_000, **more}
    return client.fetch(url, **limits)  # type: ignore[arg-type]


def whole(body: bytes, head: bytes = OK, more: bytes = b"") -> bytes:
    """Return a whole answer that says, as is true, that its connection is not kept."""
    return head + more + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_a_page_comes_whole_with_its_status_and_headers(client: Client) -> None:
    with server(whole(b"page", more=b"X-Kind: small\r\n")) as url:
        answer = fetch(client, url)
        assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"page", "small")
        assert answer.url == url


@pytest.mark.parametrize("packed", [gzip.compress(b"page"), zlib.compress(b"page")])
def test_a_packed_page_is_unpacked(client: Client, packed: bytes) -> None:
    with server(whole(packed, more=b"Content-Encoding: gzip\r\n")) as url:
        assert fetch(client, url).body == b"page"


@pytest.mark.parametrize(
    ("pieces", "reason", "outcome"),
    [
        ([OK, b"X: y\r\n"], "no whole answer in 0.5 s", Outcome.RETRY),  # headers without an end
        ([OK + b"\r\n", b"x"], "no whole answer in 0.5 s", Outcome.RETRY),  # a body that drips
    ],
)
def test_an_answer_that_drips_ends_at_the_deadline(
    client: Client, pieces: list[bytes], reason: str, outcome: Outcome
) -> None:
    with (
        server(pieces[0], *[pieces[1]] * 1000, every_s=0.1) as url,
        pytest.raises(FetchError) as error,
    ):
        fetch(client, url, deadline_s=0.5)
    assert (error.value.reason, error.value.outcome) == (reason, outcome)


GZIP = b"Content-Encoding: gzip\r\n"
BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("answer", "reason", "outcome"),
    [
        (OK + b"\r\n" + b"x" * 200_000, "too large", Outcome.SKIP),
        (whole(BOMB, more=GZIP), "too large", Outcome.SKIP),
        (whole(gzip.compress(b"x" * 999)[:-9], more=GZIP), "connection lost", Outcome.RETRY),
        (whole(b"no gzip", more=GZIP), "connection lost", Outcome.RETRY),
        (whole(b"page", more=b"Content-Encoding: br\r\n"), "not unpacked", Outcome.SKIP),
        (whole(b"page")[:-1], "connection lost", Outcome.RETRY),
        (b"", "connection lost", Outcome.RETRY),
        (b"\xff\xfe no HTTP \r\n\r\n", "connection lost", Outcome.RETRY),
        (OK + b"Content-Length: \xb2\r\n\r\n", "connection lost", Outcome.RETRY),
        (OK + b"X: " + b"y" * 300_000, "connection lost", Outcome.RETRY),
    ],
)  # fmt: skip
def test_a_hostile_answer_is_one_line(
    client: Client, answer: bytes, reason: str, outcome: Outcome
) -> None:
    with server(answer) as url, pytest.raises(FetchError) as error:
        fetch(client, url)
    assert (error.value.reason, error.value.outcome) == (reason, outcome)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("/page", "redirects without end"),
        ("http://127.0.0.1:999999/", "not a valid address"),
        ("http://[", "no connection"),
        ("file:///etc/passwd", "not a valid address"),
        ("//user:pw@127.0.0.1/", "the address holds a user name or password"),
    ],
)
def test_a_redirect_may_lead_nowhere_else(client: Client, location: str, reason: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n".encode()
    with server(whole(b"", head)) as url:
        with pytest.raises(FetchError) as error:
            fetch(client, url, max_redirects=3)
        assert error.value.reason == reason
        assert "pw" not in str(error.value)
        assert fetch(client, url).status == 302


@contextmanager
def two_sites() -> Iterator[tuple[str, str, list[bytes]]]:
    """Yield the address of a site that leads to another, the other's, and what that is asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                asked.append(connection.recv(65_536))
                connection.sendall(whole(b"there"))

        threading.Thread(target=serve, daemon=True).start()
        there = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with server(whole(b"", f"HTTP/1.1 302 Found\r\nLocation: {there}\r\n".encode())) as url:
            yield url, there, asked


def test_a_redirect_to_another_site_is_followed_without_secrets(client: Client) -> None:
    secrets = {"Authorization": "Bearer pw", "X-Kind": "small"}
    with two_sites() as (url, there, asked):
        answer = fetch(client, url, max_redirects=1, headers=secrets)
    assert (answer.body, answer.url) == (b"there", there)
    assert b"small" in asked[0]
    assert b"pw" not in asked[0]


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x/", "http://x:99999999/", "x", "http://\n/", ""]
)
def test_what_is_no_address_is_one_line(client: Client, url: str) -> None:
    with pytest.raises(FetchError, match="not a valid address"):
        fetch(client, url)


def test_a_request_that_cannot_be_sent_is_one_line(client: Client) -> None:
    with server(whole(b"")) as url:
        for value in ("half \ud83d", "a\r\nX: b"):
            with pytest.raises(FetchError, match="not a valid request"):
                fetch(client, url, headers={"If-Range": value})


def test_nobody_there_is_told_apart(client: Client) -> None:
    with pytest.raises(FetchError, match="no connection") as error:
        fetch(client, "http://127.0.0.1:1/")
    assert error.value.unreachable
    assert error.value.outcome is Outcome.RETRY


def test_a_body_goes_to_who_receives_it(client: Client) -> None:
    pieces: list[bytes] = []
    with server(whole(b"page" * 1000)) as url:
        answer = fetch(client, url, receive=lambda head: pieces.append)
        assert (answer.body, b"".join(pieces)) == (b"", b"page" * 1000)
        assert fetch(client, url, receive=lambda head: None).body == b"page" * 1000

        def full(piece: bytes) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            fetch(client, url, receive=lambda head: full)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0), ("0", 0.0), ("2.5", 2.5), ("999999999999", 3600.0), ("9" * 400, 3600.0),
        (formatdate(0, usegmt=True), 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("", None), ("\xb2", None), ("٣", None), ("-1", None), ("nan", None), ("soon", None),
        ("1e5", None),
        ("Fri, 99 Dec 2026 99:99:99 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_safely(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, 3600.0) == seconds


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,6} \d\d:\d\d:\d\d [+-]\d{1,6}"))
def test_no_retry_after_is_a_bug(value: str) -> None:
    found = retry_after({"Retry-After": value}, 60.0)
    assert found is None or 0 <= found <= 60


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(429, "retry"), (503, "retry"), (408, "retry"), (404, "skip"), (400, "skip"), (403, "stop")],
)  # fmt: skip
def test_a_status_says_what_to_do(status: int, outcome: str) -> None:
    assert outcome_of(status).value == outcome
    with pytest.raises(FetchError) as error:
        Response(status, {"Retry-After": "7"}, b"", "").check()
    assert (error.value.http_status, error.value.after_s) == (status, 7.0)


def failing(*errors: FetchError) -> tuple[list[float], object]:
    """Return what was slept, and how `retry` ends where each error comes in turn."""
    left, slept = list(errors), []

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "page"

    try:
        return slept, retry(attempt, tries=4, pause_s=1, sleep=slept.append)
    except FetchError as error:
        return slept, error.outcome


BUSY = [FetchError("busy", Outcome.RETRY) for _ in range(4)]


def test_what_may_pass_is_asked_again_after_growing_pauses() -> None:
    slept, page = failing(*BUSY[:3])
    assert page == "page"
    assert [round(pause / 1.1) for pause in slept] == [1, 2, 4]


@pytest.mark.parametrize(
    ("errors", "pauses", "end"),
    [
        ([FetchError("gone", Outcome.SKIP)], 0, Outcome.SKIP),
        ([FetchError("out", Outcome.STOP)], 0, Outcome.STOP),
        (BUSY, 3, Outcome.LATER),
        ([FetchError("busy", Outcome.RETRY, after_s=4000.0)], 0, Outcome.LATER),
    ],
)
def test_what_does_not_pass_ends_by_its_outcome(
    errors: list[FetchError], pauses: int, end: Outcome
) -> None:
    slept, outcome = failing(*errors)
    assert (len(slept), outcome) == (pauses, end)


def test_a_retry_after_of_0_is_no_permission() -> None:
    slept, _ = failing(FetchError("busy", Outcome.RETRY, after_s=0.0))
    assert slept[0] >= 1
