"""Whatever S3 servers answer and variables hold: one line that says what to do, in time.

The answers are those of AWS and of other servers, as they are met where a setting is wrong.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared import s3
from components.shared.buckets import ensure_bucket
from components.shared.errors import ArxtuneError, StoreError
from components.shared.store import open_store
from pipelines.store_server import s3_server

KEY, SECRET = "AKIDEXAMPLEEXAMPLE", "wJalrXUtnFEMIexampleexample"
OK = "<LocationConstraint/>"
DENIED = 403, {}, "<Error><Code>AccessDenied</Code></Error>"
ELSEWHERE = {"x-amz-bucket-region": "eu-central-1"}
WRONG_REGION = 400, ELSEWHERE, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>"
MOVED = 301, ELSEWHERE, "<Error><Code>PermanentRedirect</Code></Error>"
AWAY = 307, {"Location": "http://127.0.0.1:1/"}, ""

Answer = tuple[int, dict[str, str], str]


@contextmanager
def server(answer: Callable[[str, str], Answer], drip_s: float = 0.0) -> Iterator[str]:
    """Answer every request by `answer(method, path)`; with `drip_s` bodies come byte by byte."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = answer(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            try:
                for place in range(len(body)) if drip_s else ():
                    self.wfile.write(body[place].encode())
                    time.sleep(drip_s)
                if not drip_s:
                    self.wfile.write(body.encode())
            except ConnectionError:  # the client has left
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = reply  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*s3.ENDPOINT, *s3.REGION, *s3.ACCESS_KEY, *s3.SECRET_KEY, *s3.SESSION_TOKEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def line_of(ask: Callable[[], object]) -> str:
    """Return the one line that `ask` ends in, which never holds a key or a signature."""
    with pytest.raises(ArxtuneError) as error:
        ask()
    line = str(error.value)
    assert line.isprintable()
    assert not any(secret in line for secret in (KEY, SECRET, "Signature"))
    return line


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (DENIED, "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their rights"),
        (WRONG_REGION, "set AWS_REGION=eu-central-1"),
        (MOVED, "set AWS_REGION=eu-central-1"),
        (AWAY, "AWS_ENDPOINT_URL"),
        ((404, {}, "<html>no such page</html>"), "there is no such bucket"),
        ((302, {}, ""), "; "),
        ((418, {"Date": "nonsense"}, "\x1b[2Jno XML"), "; "),
    ],
)
def test_an_answer_that_refuses_is_one_line(
    answer: Answer, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(lambda method, path: answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert line in line_of(lambda: open_store("s3://bkt/pre"))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("AWS_ENDPOINT_URL", "{url}/minio", "AWS_ENDPOINT_URL='{url}/minio' holds a path"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1 :9000", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000x", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "http://", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "http://[", "AWS_ENDPOINT_URL="),
        ("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1", "AWS_ENDPOINT_URL holds a user"),
        ("AWS_ENDPOINT_URL", "http://a\nb", "AWS_ENDPOINT_URL holds a line break"),
        ("AWS_ENDPOINT_URL", "ftp://127.0.0.1", "AWS_ENDPOINT_URL="),
        ("AWS_REGION", "eu west", "AWS_REGION='eu west'"),
        ("AWS_ACCESS_KEY_ID", f"{KEY}\x1b[2J", "AWS_ACCESS_KEY_ID holds a line break"),
        ("AWS_SECRET_ACCESS_KEY", f"{SECRET}\n\n x", "AWS_SECRET_ACCESS_KEY holds a line break"),
    ],
)
def test_a_wrong_variable_is_named(
    name: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(lambda method, path: DENIED) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv(name, value.format(url=url))
        told = line_of(lambda: open_store("s3://bkt/pre"))
    assert line.format(url=url) in told
    assert "hunter2" not in told


@pytest.mark.parametrize("bucket", ["ab", "my bucket", "a" * 64, "a..b", "-ab", "bücket"])
def test_a_wrong_bucket_is_named(bucket: str) -> None:
    assert f"s3://{bucket}: that is no name of a bucket" in line_of(
        lambda: open_store(f"s3://{bucket}/pre")
    )


def test_a_prefix_that_leads_elsewhere_is_refused() -> None:
    assert "leads out of its place" in line_of(lambda: open_store("s3://bkt/a/../../b"))


def test_variables_as_secrets_and_people_write_them_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(method: str, path: str) -> Answer:
        asked.append(path)
        return 200, {}, OK

    with server(answer) as url:
        for value in (f"{url}/", f" {url}\n", url.replace("http", "HTTP")):
            monkeypatch.setenv("AWS_ENDPOINT_URL", value)
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{KEY}\n")
            open_store("s3://bkt/pre")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("ARXTUNE_S3_ENDPOINT_URL", url)  # in our pods AWS_* is another store's
        open_store("s3://bkt/pre")
        monkeypatch.setenv("ARXTUNE_S3_ENDPOINT_URL", url.replace("http", "https"))
        monkeypatch.setattr(s3, "CONNECT_SECONDS", 1)
        assert "is ARXTUNE_S3_ENDPOINT_URL right and up" in line_of(lambda: open_store("s3://bkt"))
    assert len(asked) == 4


PAGE = "<ListBucketResult><IsTruncated>true</IsTruncated><Name>bkt</Name>{}</ListBucketResult>"
SAME = "<Contents><Key>pre/x/a</Key></Contents>"
ELSE = "<Contents><Key>../../etc/passwd</Key></Contents>"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (PAGE.format(SAME), "the answer is not of an S3 server"),
        (PAGE.format(""), "no whole answer in time"),
        (PAGE.format(ELSE), "the answer is not of an S3 server"),
        ("<html><p>please log in", "the answer is not of an S3 server"),
        ("", "the answer is not of an S3 server"),
    ],
)
def test_a_list_that_never_ends_or_is_none_is_one_line(
    body: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = []

    def answer(method: str, path: str) -> Answer:
        if "prefix=" not in path:
            return 200, {}, OK
        listings.append(path)
        return 200, {"Content-Type": "application/xml"}, body

    with server(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://bkt/pre")
        monkeypatch.setattr(s3, "CALL_SECONDS", 1.0)
        assert line in line_of(lambda: list(store.list("x")))
        time.sleep(0.2)
        asked = len(listings)
        time.sleep(0.3)
        assert len(listings) == asked  # what was left behind asks no more


def test_no_listing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "ListBucketResult",
        "Contents",
        "Key",
        "Size",
        "IsTruncated",
        "CommonPrefixes",
        "Prefix",
    )
    texts = st.sampled_from(
        ["", "true", "pre/x/a", "-1", "9" * 99, "\ufffd", "&amp;", "&x;", "]]>"]
    )
    tree = st.recursive(texts, lambda inner: st.tuples(st.sampled_from(names), inner, inner))

    def xml(node: object) -> str:
        if isinstance(node, str):
            return node
        name, first, second = node  # type: ignore[misc]
        return f"<{name}>{xml(first)}{xml(second)}</{name}>"

    body = ""
    with server(lambda method, path: (200, {}, body if "prefix=" in path else OK)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://bkt/pre")
        monkeypatch.setattr(s3, "CALL_SECONDS", 1.0)

        @settings(max_examples=60, deadline=None)
        @given(tree.map(xml) | st.text(st.characters(max_codepoint=126)))
        def listing(text: str) -> None:
            nonlocal body
            body = text
            with contextlib.suppress(StoreError):
                assert all(key.startswith("x/") for key in store.list("x"))

        listing()


def test_a_body_that_drips_ends_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with server(lambda method, path: (200, {}, "x" * 1000), drip_s=0.1) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://bkt/pre")
        monkeypatch.setattr(s3, "CALL_SECONDS", 0.5)
        assert "no whole answer in time" in line_of(lambda: store.get("a"))
        assert "no whole answer in time" in line_of(lambda: store.get_file("a", tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_a_write_that_is_answered_by_a_page_is_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(lambda method, path: (200, {}, "<html>welcome</html>")) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        store = open_store("s3://bkt/pre")
        monkeypatch.setattr(s3, "TRIES", 1)
        assert "cannot write a" in line_of(lambda: store.put("a", b"value"))


def test_a_bucket_is_made_once_and_keeps_the_rules_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        places = ["v2/artifacts/", "private-artifacts/"]
        assert len(ensure_bucket("kubeflow", 90, places)) == 2
        assert ensure_bucket("kubeflow", 90, places) == []
        assert ensure_bucket("kubeflow", 30, places) == [
            "bucket kubeflow: v2/artifacts/ and private-artifacts/ expires after 30 days"
        ]
        with pytest.raises(StoreError):
            ensure_bucket("no bucket")
