"""manifest.json: the sha256 of every file of an evaluation, of its report and of what it was made from.

{"files": {"answers.jsonl": ...}, "inputs": {"test/examples.jsonl": ..., "report": ...}, "digest": <of both>}
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.shared.errors import DataError
from components.shared.records import digest, file_digest, write_atomically

NAME = "manifest.json"


def write_manifest(evaluation: Path, inputs: Mapping[str, Path]) -> None:
    """Hash what lies in `evaluation` and in the folders and files of `inputs`, by their names."""
    files = {name: file_digest(path) for name, path in _files(evaluation) if name != NAME}
    others = {
        f"{place}/{name}".strip("/"): file_digest(path)
        for place, at in inputs.items()
        for name, path in _files(at)
    }
    write_atomically(evaluation / NAME, _text({"files": files, "inputs": others}))


def changed_files(evaluation: Path, places: Mapping[str, Path]) -> tuple[list[str], int]:
    """Return the files that are missing or changed, and how many were looked at.

    `places` says where inputs lie by the names that write_manifest got; those not named are not looked at. Raises
    DataError when the manifest itself is missing or changed.
    """
    manifest = _read(evaluation / NAME)
    wanted = {evaluation / name: value for name, value in manifest["files"].items()}
    for name, value in manifest["inputs"].items():
        place, _, rest = name.partition("/")
        if place in places:
            wanted[places[place] / rest if rest else places[place]] = value
    return [
        str(path)
        for path, value in wanted.items()
        if not path.is_file() or file_digest(path) != value
    ], len(wanted)


def _files(at: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file below a folder; a file is itself, without a name."""
    if at.is_file():
        yield "", at
    for path in sorted(path for path in at.rglob("*") if path.is_file()):
        yield path.relative_to(at).as_posix(), path


def _text(manifest: Mapping[str, Any]) -> str:
    whole = {**manifest, "digest": digest(manifest)}
    return json.dumps(whole, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _read(path: Path) -> dict[str, Any]:
    """Read a manifest that says of itself that nobody changed it."""
    try:
        text = path.read_text("utf-8")
        manifest = json.loads(text)
        if text == _text({name: manifest[name] for name in ("files", "inputs")}):
            return dict(manifest)
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist", "evaluate writes it last: run evaluate again"
        ) from None
    except (ValueError, TypeError, KeyError):
        pass
    raise DataError(f"{path}: changed since evaluate wrote it")
