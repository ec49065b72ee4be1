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

They are shown as one line and a non-zero exit. Anything else is a bug and shows its traceback.
"""


class ArxtuneError(Exception):
    """State what was asked and what was wrong; `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = " ".join(problem.split())
        self.fix = " ".join(fix.split())
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
    """Kubeflow Pipelines or Kubernetes refuses, or does not answer; `status` is HTTP's, or 0."""

    def __init__(self, problem: str, fix: str = "", status: int = 0) -> None:
        super().__init__(problem, fix)
        self.status = status


class ToolError(ArxtuneError):
    """This machine lacks a program that the work needs."""
