"""See that a file is a whole PDF, by the rule of `components.shared.pdf`, in a child."""

from pathlib import Path

from components.shared.errors import DataError
from components.shared.pdf import check
from components.shared.sandbox import run_in_child

DEADLINE_S = 60.0
MEMORY_MIB = 500


def fault_of(path: Path) -> tuple[str, str] | None:
    """Return reason and detail of what is wrong with a PDF, or None: a site may call anything one."""
    try:
        run_in_child(check, str(path), deadline_s=DEADLINE_S, memory_mib=MEMORY_MIB)
    except DataError as error:
        return error.problem, ""
    return None
