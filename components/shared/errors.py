"""The errors that a person can do something about.

    ArxtuneError
    ├── ConfigError    a setting, a flag or a config file is wrong
    ├── SourceError    the paper site does not answer, or answers what we cannot use
    ├── TeacherError   the teacher refuses, is unknown or has no quota left
    ├── DataError      records are malformed, or nothing is left to work on
    ├── ModelError     a model or adapter cannot be loaded, trained or trusted
    ├── StoreError     the store cannot be reached, read or written
    ├── ClusterError   Kubeflow Pipelines or Kubernetes refuses, or does not answer
    └── ToolError      this machine lacks a program that the work needs

They are shown as one line, and the process ends with their `status`. Anything else is a bug and
shows its traceback.
"""

import errno
import os
import tempfile
from pathlib import Path

from components.shared.text import clean_line


class ArxtuneError(Exception):
    """State what was asked and what was wrong; `fix` says what to do about it.

    Their text often holds words of others: it is cleaned, so that it is one line and harmless.
    """

    status = 1  # of the process that ends by it

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = clean_line(problem)
        self.fix = clean_line(fix)
        super().__init__(f"{self.problem}; {self.fix}" if self.fix else self.problem)


class ConfigError(ArxtuneError):
    """A setting, a flag or a config file is wrong."""


class SourceError(ArxtuneError):
    """The paper site does not answer, or answers what we cannot use."""


class TeacherError(ArxtuneError):
    """The teacher refuses, is unknown or has no quota left."""


class DataError(ArxtuneError):
    """Records are malformed, or nothing is left to work on."""


class ModelError(ArxtuneError):
    """A model or adapter cannot be loaded, trained or trusted."""


class StoreError(ArxtuneError):
    """The store cannot be reached, read or written."""


class ClusterError(ArxtuneError):
    """Kubeflow Pipelines or Kubernetes refuses, or does not answer.

    `http_status` is that of its answer, or 0.
    """

    def __init__(self, problem: str, fix: str = "", http_status: int = 0) -> None:
        super().__init__(problem, fix)
        self.http_status = http_status


class ToolError(ArxtuneError):
    """This machine lacks a program that the work needs."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
PROBE = 1 << 16  # bytes that a disk which is not full takes


def unwritable(error: Exception) -> StoreError | None:
    """Return the one line for a disk that is full or read-only, or None for another error.

    Libraries of other languages put what the disk said into words of their own: there the folders
    that we write to are asked again.
    """
    if isinstance(error, OSError):
        return _not_written(error) if error.errno in FULL else None
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(PROBE))
        except OSError as refusal:
            if refusal.errno in FULL and os.access(folder, os.W_OK):
                return _not_written(refusal)
    return None


def _not_written(error: OSError) -> StoreError:
    problem = f"cannot write {error.filename or 'a file'}: {error.strerror}"
    return StoreError(problem, "make room or name another folder")
