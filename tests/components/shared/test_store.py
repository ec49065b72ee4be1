"""The store behaves alike in a folder and on a real S3 server."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.shared.errors import StoreError
from components.shared.store import Store, open_store
from pipelines.servers import s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        s3_server(tmp_path_factory.mktemp("home")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
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
    assert not store.has("a/b")
    store.put("a/b", b"\x00bytes")
    assert store.get("a/b") == b"\x00bytes"
    assert store.has("a/b")
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


def test_a_folder_whose_manifest_holds_no_hashes_counts_as_absent(
    store: Store, tmp_path: Path
) -> None:
    store.put_json("adapters/old/manifest.json", ["weights.bin"])
    assert not store.get_folder("adapters/old", tmp_path / "old")
    assert store.files_of("adapters/old") is None


def test_wrong_credentials_are_one_clear_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match="cannot look for the bucket"):
        open_store(s3)


def test_a_missing_bucket_is_one_clear_line(s3: str) -> None:
    with pytest.raises(StoreError, match="there is no such bucket; create it"):
        open_store("s3://nowhere")


@pytest.mark.parametrize(
    ("url", "message"), [("ftp://x", "unknown kind"), ("s3://", "no bucket is named")]
)
def test_urls_that_are_no_store(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(url)


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="leads out of the store"):
        open_store(str(tmp_path / "store")).put("../outside", b"")


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="name a folder that can be written"):
        open_store(str(tmp_path / "file" / "store"))


def test_credentials_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with s3_server(tmp_path):
        assert (tmp_path / "store-credentials.json").stat().st_mode & 0o077 == 0
        assert list((tmp_path / "store").iterdir())
