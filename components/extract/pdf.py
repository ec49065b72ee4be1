"""Read a PDF's text, page by page, in a child process with a deadline and a memory limit.

PDFs come from strangers: one that loops, explodes or crashes the parser must end its child, never the stage.
"""

import contextlib
import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

# A fork server: children start in milliseconds with pypdf loaded, and share no thread or lock with the stage.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["components.extract.pdf", "pypdf"])


class PdfRejected(Exception):
    """This PDF gives no text; the message is the reason, a short phrase that groups."""


class PdfText(NamedTuple):
    """Texts of the pages read, and how many pages the file has."""

    pages: list[str]
    page_count: int


def read_pdf(path: Path, *, deadline_s: float, memory_mib: int, max_pages: int) -> PdfText:
    """Return the texts of the first `max_pages` pages; raise PdfRejected with the reason when there are none."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(target=_child, args=(theirs, str(path), memory_mib, max_pages), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(deadline_s):
            raise PdfRejected(f"not read within {deadline_s:g} s")
        answer = ours.recv()
    except EOFError:
        raise PdfRejected("reader crashed or ran out of memory") from None
    finally:
        child.kill()
        child.join()
        ours.close()
    if isinstance(answer, str):
        raise PdfRejected(answer)
    return PdfText(*answer)


def _child(answers: Connection, path: str, memory_mib: int, max_pages: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    with contextlib.suppress(MemoryError):  # then nothing is sent, and the parent says so
        try:
            answers.send(_read(path, max_pages))
        except PdfRejected as rejected:
            answers.send(str(rejected))


def _read(path: str, max_pages: int) -> tuple[list[str], int]:
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns once a font, for thousands of fonts
    if Path(path).stat().st_size == 0:
        raise PdfRejected("empty file")
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise PdfRejected("encrypted")
        count = len(reader.pages)
        texts = [reader.pages[number].extract_text() for number in range(min(count, max_pages))]
    except (PdfRejected, MemoryError):
        raise
    except Exception as error:  # pypdf lets errors of many kinds escape on broken files; all mean the same here
        raise PdfRejected(f"broken PDF ({type(error).__name__})") from None
    if count == 0:
        raise PdfRejected("no pages")
    return texts, count
