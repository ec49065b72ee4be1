"""The store behaves alike in a folder and on a real S3 server."""

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.errors import ArxtuneError, DataError, StoreError
from components.shared.store import Store, open_store
from pipelines.store_server import s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        s3_server(tmp_path_factory.mktemp("home")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield "s3://arxtune"


@pytest.fixture(params=["folder", "s3", "s3 with prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    bucket = request.getfixturevalue("s3")
    return open_store(
        f"{bucket}/{tmp_path.name}" + ("/deep/er" if "prefix" in request.param else "")
    )


def test_what_is_put_comes_back(store: Store) -> None:
    assert store.get("a/b") is None
    assert store.stat("a/b") is None
    store.put("a/b", b"\x00bytes")
    assert store.get("a/b") == b"\x00bytes"
    assert store.stat("a/b") is not None
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None


def test_list_gives_keys_below_the_prefix_in_order(store: Store) -> None:
    for key in ("x/2", "x/10", "x/1/deep", "xy/3"):
        store.put(key, b"1")
    assert list(store.list("x")) == ["x/1/deep", "x/10", "x/2"]
    assert list(store.list("nothing")) == []


def test_the_latest_log_entry_wins_and_history_stays(store: Store) -> None:
    assert store.latest("log") is None
    for number in range(12):
        store.append("log", {"number": number})
    assert store.latest("log") == {"number": 11}
    assert len(list(store.list("log"))) == 12


def test_writers_racing_leave_one_answer(store: Store) -> None:
    threads = [threading.Thread(target=store.append, args=("log", {"writer": n})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.latest("log") == store.latest("log")
    assert len(list(store.list("log"))) == 6


def test_a_folder_without_its_manifest_does_not_exist(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(b"1")
    (source / "sub" / "b").write_bytes(b"2")
    assert not store.get_folder("f", target)
    store.put_folder("f", source)
    assert store.get_folder("f", target)
    assert (target / "sub" / "b").read_bytes() == b"2"
    store.delete("f/manifest.json")
    assert not store.get_folder("f", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def seal(value: object) -> bytes:
    """Return a record as the store writes it: who may write there may forge."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return json.dumps(
        {"sha256": hashlib.sha256(text.encode()).hexdigest(), "value": value}
    ).encode()


def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    store.put_json("a.json", {"ü": [1, 2.5, None]})
    assert store.get_json("a.json") == {"ü": [1, 2.5, None]}
    for number in (float("nan"), float("inf")):
        with pytest.raises(DataError, match="NaN and infinity cannot be stored"):
            store.put_json("a.json", {"loss": number})
    with pytest.raises(DataError, match="half a character"):
        store.put_json("a.json", {"text": "\ud835"})


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "one letter": lambda data: data.replace(b"paid", b"pAid"),
    "of another version": lambda data: b'["weights.bin"]',
    "no JSON": lambda data: b"\xff\x00" * 9,
    "deep": lambda data: b"[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_record_is_named_set_aside_and_made_again(
    store: Store, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put_json("answers/1.json", {"text": "paid for"})
    damaged = DAMAGE[kind](store.get("answers/1.json") or b"")
    store.put("answers/1.json", damaged)
    assert store.get_json("answers/1.json") is None
    assert "answers/1.json is damaged" in capsys.readouterr().out
    assert store.get("damaged/answers/1.json") == damaged
    store.put_json("answers/1.json", {"text": "paid for"})
    assert store.get_json("answers/1.json") == {"text": "paid for"}


@settings(deadline=None, max_examples=40)
@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_no_bytes_in_a_store_are_a_bug(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        for key in ("answers/1.json", "log/00000001-0123456789abcdef", "adapters/1/manifest.json"):
            store.put(key, data)
        assert store.get_json("answers/1.json") is None
        assert store.latest("log") is None
        assert store.files_of("adapters/1") is None


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_log_entry_is_passed_over_but_not_of_a_release(store: Store, kind: str) -> None:
    for log in ("listings/x", "releases/arxtune/log"):
        keys = [store.append(log, {"n": n, "text": "paid for"}) for n in range(3)]
        store.put(keys[2], DAMAGE[kind](store.get(keys[2]) or b""))
    assert (store.latest("listings/x") or {})["n"] == 1
    assert [entry["n"] for entry in store.entries("listings/x")] == [0, 1]
    for ask in (store.latest, lambda log: list(store.entries(log))):
        with pytest.raises(StoreError, match=r"releases/arxtune/log/00000003-.* is damaged"):
            ask("releases/arxtune/log")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "made" / "sub").mkdir(parents=True)
    (tmp_path / "made" / "a").write_text("1")
    (tmp_path / "made" / "sub" / "b").write_text("2")
    return tmp_path / "made"


@pytest.mark.parametrize("damage", ["file changed", "file gone", "manifest"])
def test_a_damaged_folder_counts_as_absent_but_a_release_is_an_error(
    store: Store, made: Path, tmp_path: Path, damage: str
) -> None:
    for prefix in ("adapters/1", "releases/arxtune/v1"):
        store.put_folder(prefix, made)
        key = (store.files_of(prefix) or {})["sub/b"]
        if damage == "file gone":
            store.delete(key)
        else:
            store.put(key if damage == "file changed" else f"{prefix}/manifest.json", b"3")
    assert not store.get_folder("adapters/1", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    with pytest.raises(StoreError, match=r"releases/arxtune/v1/manifest.json is damaged"):
        store.get_folder("releases/arxtune/v1", tmp_path / "got")
    store.put_folder("adapters/1", made)
    assert store.get_folder("adapters/1", tmp_path / "got")


@pytest.mark.parametrize(
    "name",
    [
        "{outside}/stolen",
        "../stolen",
        "a/../../stolen",
        "",
        ".",
        "a//b",
        "a\nb",
        "x" * 300,
        "link/x",
    ],
)
def test_a_manifest_writes_nowhere_but_in_its_folder(
    store: Store, tmp_path: Path, name: str, made: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "link").symlink_to(outside)
    name = name.format(outside=outside)
    store.put_folder("adapters/1", made)
    manifest = store.get_json("adapters/1/manifest.json")
    files = {name: manifest["files"]["a"]}
    store.put("adapters/1/manifest.json", seal({**manifest, "files": files}))
    with contextlib.suppress(ArxtuneError):
        assert not store.get_folder("adapters/1", tmp_path / "got")
    assert not list(outside.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == [
        "got", "made", "outside",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "place", ["", "..", "/etc", "answers", "adapters/1/files/../../x", 7, None]
)
def test_a_manifest_reads_nowhere_but_below_its_prefix(
    store: Store, tmp_path: Path, place: object
) -> None:
    value = {"place": place, "files": {"a": "0" * 64}}
    store.put("adapters/1/manifest.json", seal(value))
    assert store.files_of("adapters/1") is None
    assert not store.get_folder("adapters/1", tmp_path / "got")


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../../x", "a\nb", "a" * 2000, "\ud800"]
)
def test_a_key_that_is_none_is_one_line(store: Store, key: str) -> None:
    for ask in (lambda: store.put(key, b""), lambda: store.get(key), lambda: store.delete(key),
                lambda: store.stat(key), lambda: list(store.list(key))):  # fmt: skip
        with pytest.raises(DataError, match="the key '"):
            ask()


def test_wrong_credentials_are_one_clear_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARXTUNE_S3_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match="cannot look for the bucket"):
        open_store(s3)


def test_a_missing_bucket_is_one_clear_line(s3: str) -> None:
    with pytest.raises(StoreError, match="there is no such bucket; create it"):
        open_store("s3://nowhere")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x", "unknown kind"),
        ("s3://", "no bucket is named"),
        ("s3:///x", "no bucket is named"),
        ("", "not a name"),
        ("a\x00b", "not a name"),
        ("a\nb", "not a name"),
        ("\udcff", "not a name"),
        ("s3://[", "no name of a bucket"),
        ("s3://user:pw@bkt", "no name of a bucket"),
    ],
)
def test_urls_that_are_no_store(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(url)


def test_what_is_written_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    store = open_store(str(tmp_path))
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    store.put("papers/1/v1.pdf", b"value")
    assert steps == ["file", "rename", "folder"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="name a folder that can be written"):
        open_store(str(tmp_path / "file" / "store"))


def test_credentials_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with s3_server(tmp_path):
        assert (tmp_path / "store-credentials.json").stat().st_mode & 0o077 == 0
        assert list((tmp_path / "store").iterdir())
