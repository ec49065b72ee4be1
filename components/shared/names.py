"""Names and environment values from outside, checked where they enter.

Nothing that a site, a store or a model calls itself becomes a path or a key before it has passed
here.
"""

import os
import re
from pathlib import Path

from components.shared.errors import ConfigError, DataError
from components.shared.text import clean_line

# Bytes; file systems take 255, and what is being written has a longer name for a moment.
LONGEST_PART = 200
LONGEST_NAME = 900  # bytes; S3 takes 1,024 with the store's prefix
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def safe_name(name: str, what: str) -> str:
    """Return a name that may be one component of a path or key; raise DataError otherwise.

    It has letters and digits, and after the first also . _ + and -. `what` is for the error.
    """
    if not _SAFE.fullmatch(name) or len(name) > LONGEST_PART:
        raise DataError(
            f"{what} {_shown(name)} cannot be used",
            "begin with a letter or digit and use letters, digits, '.', '_', '+' and '-' only",
        )
    return name


def relative_name(name: str, what: str = "name") -> str:
    """Return a name of parts between slashes that leads nowhere but down, or raise DataError."""
    problem = _problem(name)
    if problem:
        raise DataError(f"{what} {_shown(name)} {problem}")
    return name


def safe_path(folder: Path, name: str, what: str = "file name") -> Path:
    """Return the path of a name below a folder; raise DataError where it or a link leads out."""
    path = folder / relative_name(name, what)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{what} {_shown(name)} leads out of its folder")
    return path


def environment(*names: str) -> str:
    """Return the first of some environment variables that is set, stripped, or "".

    Values often come from files that end in a line break. One that is no single printable line is a
    ConfigError, which never shows the value: it may be a secret.
    """
    for name in names:
        value = os.environ.get(name, "").strip()
        if value and not value.isprintable():
            problem = f"{name} holds a line break or characters that cannot be printed"
            raise ConfigError(problem, "set it again")
        if value:
            return value
    return ""


def _problem(name: str) -> str:
    if not name:
        return "is empty"
    if name != clean_line(name) or not name.isprintable() or "\\" in name:
        return "holds characters that no name may have"
    if name.startswith("/"):
        return "is absolute"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of its place"
    too_long = any(len(part.encode()) > LONGEST_PART for part in parts)
    return "is too long" if too_long or len(name.encode()) > LONGEST_NAME else ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")
