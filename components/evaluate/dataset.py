"""Read the examples that curate wrote."""

from pathlib import Path

from components.shared.records import Example, read_records


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a folder or file; raise DataError naming the place of a bad one."""
    return list(read_records(path / "examples.jsonl" if path.is_dir() else path, Example))
