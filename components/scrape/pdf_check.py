"""See that a file is a whole PDF: by its marks, and by opening it in a child with a deadline."""

import io
from pathlib import Path

from components.shared.sandbox import SandboxError, run_in_child

HEAD = 1024  # bytes where a PDF must show its first mark
TAIL = 16_384  # and its last one: some servers append a page of their own
DEADLINE_S = 60.0
MEMORY_MIB = 1024


def fault_of(path: Path) -> tuple[str, str] | None:
    """Return reason and detail of what is wrong with a PDF, or None: a site may call anything one."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            return "empty file", ""
        file.seek(0)
        if b"%PDF-" not in file.read(HEAD):
            return "not a PDF", "no %PDF- at its beginning"
        file.seek(max(0, size - TAIL))
        if b"%%EOF" not in file.read(TAIL):
            return "truncated PDF", "no %%EOF at its end"
    try:
        told = run_in_child(_problem, str(path), deadline_s=DEADLINE_S, memory_mib=MEMORY_MIB)
    except SandboxError as error:
        told = error.problem
    return ("unreadable PDF", told) if told else None


def _problem(path: str) -> str:
    from pypdf import PdfReader

    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return "encrypted"
        return "" if len(reader.pages) else "no pages"
    except MemoryError:
        raise
    except Exception as error:  # pypdf lets errors of many kinds escape; all mean the same here
        return f"{type(error).__name__}: {error}"[:200]
