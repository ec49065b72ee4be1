"""The list of files with hashes: what a folder holds, and whether it still does.

It is the file SHA256SUMS, which `sha256sum --check` reads too; the store keeps the same list as
JSON. It finds every change, loss and addition, but proves nothing against someone who may write
the list as well.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from components.shared.errors import DataError
from components.shared.names import relative_name
from components.shared.records import file_digest, write_atomically

NAME = "SHA256SUMS"
HASH = re.compile("[0-9a-f]{64}")


def hash_files(folder: Path) -> dict[str, str]:
    """Return name -> sha256 (hex) of every file below a folder, in order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {}
    for path in paths:
        name = relative_name(path.relative_to(folder).as_posix(), f"{folder}: file name")
        hashes[name] = file_digest(path)
    return hashes


def write(folder: Path, others: Mapping[str, Path] | None = None) -> None:
    """Write the list of a folder, last of all its files.

    `others` are folders outside that it rests on; their files are listed as <name>/<file>.
    """
    write_atomically(folder / NAME, _text(_hashes(folder, others or {})))


def read(folder: Path) -> dict[str, str]:
    """Return what the list of a folder says; raise DataError when it is missing or was changed."""
    path = folder / NAME
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    hashes = {}
    for line in text.splitlines():
        value, _, name = line.partition("  ")
        if HASH.fullmatch(value):
            hashes[name] = value
    if text != _text(hashes):
        raise DataError(f"{path} was changed since it was written")
    return hashes


def problems(folder: Path, others: Mapping[str, Path] | None = None) -> list[str]:
    """Return what is not as the list says, a line each: "changed: a.txt", "missing: b", "added: c".

    `others` are those that the list was written with. Raises DataError without a readable list.
    """
    wanted, found = read(folder), _hashes(folder, others or {})
    lines = [f"added: {name}" for name in found if name not in wanted]
    for name, value in wanted.items():
        if name in found and found[name] != value:
            lines.append(f"changed: {name}")
        elif name not in found:
            lines.append(f"missing: {name}")
    return sorted(lines)


def _hashes(folder: Path, others: Mapping[str, Path]) -> dict[str, str]:
    hashes = hash_files(folder)
    hashes.pop(NAME, None)
    for place, other in others.items():
        for name, value in hash_files(other).items():
            hashes[f"{place}/{name}"] = value
    return hashes


def _text(hashes: Mapping[str, str]) -> str:
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
