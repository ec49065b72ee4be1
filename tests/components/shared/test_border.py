"""Text, numbers, names and environment values from outside: a table of hostile values for each."""

import math
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared import manifest
from components.shared.errors import ArxtuneError, ConfigError, DataError
from components.shared.names import environment, relative_name, safe_name, safe_path
from components.shared.text import clean, clean_line, finite

ANYTHING = st.text(st.characters(exclude_categories=()))  # lone surrogates too
HARMFUL = {"Cc", "Cs"}  # controls and surrogates


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b2Jcsi of one byte", "csi of one byte"),
        ("\x1b]0;without an end", ""),
        ("\x1bcreset", "reset"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("\ud83d\ude00 in two halves", "\U0001f600 in two halves"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("\u202egnp.exe\u2066 and zero\u200bwidth\ufeff", "gnp.exe and zerowidth"),
        ("tags \U000e0069\U000e0067 spell in secret", "tags spell in secret"),
        ("two\r\nlines\u2028more\x0bmore", "two lines more more"),
        ("Mañana, 数学, \\frac{1}{2}", "Mañana, 数学, \\frac{1}{2}"),
    ],
)
def test_hostile_text_becomes_harmless(hostile: str, harmless: str) -> None:
    assert clean_line(hostile) == harmless
    assert str(ArxtuneError(hostile, "do this")) == f"{harmless}; do this"


def test_lines_stay_lines_where_they_may() -> None:
    assert clean("a\r\nb\rc\td\n") == "a\nb\nc\td\n"


@settings(deadline=None)
@given(ANYTHING)
def test_clean_text_is_clean_for_good(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert not HARMFUL & set(map(unicodedata.category, once.replace("\n", "").replace("\t", "")))
    assert len(clean_line(text).splitlines()) <= 1


def test_cleaning_takes_linear_time() -> None:
    for piece in ("\x1b[", "\x1b]", "\x1b[1;", "\x1b", "\ud83d", "\x9b0"):
        clean(piece * 500_000)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12", 12.0), (" -1.5e3 ", -1500.0), (7, 7.0), (".5", 0.5),
        ("", None), ("²", None), ("١٢", None), ("1_000", None), ("nan", None), ("inf", None),
        ("9" * 400, None), (10**400, None), ("1e999", None), ("0x10", None), ("1e308", None),
        (math.nan, None), (-math.inf, None), (True, None), (None, None), ([1], None),
        ("12 s", None),
    ],
)  # fmt: skip
def test_a_number_is_finite_and_bounded_or_none(value: object, number: float | None) -> None:
    assert finite(value, -1e4, 1e4) == number


@pytest.mark.parametrize("name", ["arxtune", "v1", "m-2405.90001", "A_b+c.d"])
def test_plain_names_pass(name: str) -> None:
    assert safe_name(name, "release") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "arxtune/log", "../answers", "a/../../x", "/etc", "a b", "a\nb", "-rf",
    ".partial",
     "\x1b[2J", "é", "٣", "x" * 300, "a\x7f", "C:\\x", "a\x00"],
)  # fmt: skip
def test_a_name_that_is_no_plain_name_is_one_line(name: str) -> None:
    with pytest.raises(DataError, match="release '") as error:
        safe_name(name, "release")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\\b", "a\nb", "a\x00",
    "a\ud800",
     "\u202ea", "x" * 300, "/".join(["x"] * 600), "é" * 150],
)  # fmt: skip
def test_a_file_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        relative_name(name)
    with pytest.raises(DataError):
        safe_path(tmp_path, name)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    assert safe_path(tmp_path / "in", "modèle 1/weights.bin").name == "weights.bin"
    with pytest.raises(DataError, match="leads out of its folder"):
        safe_path(tmp_path / "in", "out/file")


@settings(deadline=None)
@given(ANYTHING)
def test_whatever_passes_stays_below_its_folder(name: str) -> None:
    folder = Path("/nowhere/store")
    try:
        path = safe_path(folder, name)
    except DataError:
        return
    assert path.is_relative_to(folder)
    assert ".." not in path.parts


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("key\n", "key"), (" key\r\n", "key"), ("  ", "second"), ("a\nb", None),
    ("a\x1b[2Jb", None), ("\udcff", None)],
)  # fmt: skip
def test_environment_values_are_one_line(
    value: str, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST", value)
    monkeypatch.setenv("SECOND", "second")
    if wanted:
        assert environment("FIRST", "SECOND") == wanted
        return
    with pytest.raises(ConfigError, match="FIRST holds a line break or characters"):
        environment("FIRST", "SECOND")
    assert environment("UNSET", "SECOND") == "second"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_text("1")
    (folder / "sub" / "ü").write_bytes(b"\x00" * 100)
    manifest.write(folder)
    return folder


def test_a_list_of_files_finds_every_change(folder: Path) -> None:
    assert manifest.problems(folder) == []
    subprocess.run(["sha256sum", "--check", "--quiet", manifest.NAME], cwd=folder, check=True)
    (folder / "a b.txt").write_text("2")
    (folder / "sub" / "ü").unlink()
    (folder / "sub" / "new").write_text("")
    assert manifest.problems(folder) == ["added: sub/new", "changed: a b.txt", "missing: sub/ü"]


def test_a_list_that_was_changed_is_found_out(folder: Path) -> None:
    path = folder / manifest.NAME
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert manifest.problems(folder), place
        except DataError:
            continue
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        try:
            assert manifest.problems(folder), size
        except DataError:
            continue
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        manifest.problems(folder)


def test_folders_outside_are_listed_by_their_place(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "rows").write_text("1")
    manifest.write(folder, {"inputs/train": other})
    assert manifest.problems(folder, {"inputs/train": other}) == []
    (other / "rows").write_text("2")
    assert manifest.problems(folder, {"inputs/train": other}) == ["changed: inputs/train/rows"]
    assert [path.name for path in other.iterdir()] == ["rows"]


def test_a_full_disk_is_told_whatever_a_library_makes_of_it() -> None:
    script = """
import resource
from components.shared.errors import unwritable
error = RuntimeError("writer 0x7f failed unexpectedly")
print(unwritable(error), unwritable(ValueError("no space left in the tensor")))
resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, 16 << 10))
print(unwritable(error))
"""
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == [
        "None None",
        "cannot write a file: File too large; make room or name another folder",
    ]
