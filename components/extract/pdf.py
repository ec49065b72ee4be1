"""Read a PDF's text, page by page, in a child process with a deadline and a memory limit.

PDFs come from strangers: one that loops, explodes or crashes the parser must end its child, never the stage.
"""

import contextlib
import gc
import math
import multiprocessing
import resource
import signal
from collections.abc import Sequence
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from components.extract.hidden import HiddenText

# A fork server: children start in milliseconds with pypdf loaded, and share no thread or lock with the stage. Each runs
# its parent's main module once more, which in a component is `kfp.dsl.executor_main`: loading what that imports takes
# longer than most PDFs. (The module itself, loaded beforehand, would make each child warn.)
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["components.extract.pdf", "components.extract.quick", "kfp.dsl.executor"]
)
COLLECT_EVERY = (
    16  # pages; in between, looking for garbage costs a tenth of the time and finds little
)
SIGNATURE_WITHIN = 1024  # bytes in which every reader looks for %PDF-
NO_MEMORY = "reader ran out of memory"


class PdfRejected(Exception):
    """This PDF gives no text; the message is the reason, a short phrase that groups."""


class PageText(NamedTuple):
    """The text of one page, and the text that was hidden on it as (reason, text)."""

    text: str
    hidden: list[tuple[str, str]]


class PdfText(NamedTuple):
    """What the pages read hold, how many pages the file has, and whether it shows pictures."""

    pages: list[PageText]
    page_count: int
    pictures: bool


class Part(NamedTuple):
    """Every `of`-th page from page `number` on, counted from 0."""

    number: int = 0
    of: int = 1


WHOLE = Part()


def read_pdf(
    path: Path, *, deadline_s: float, memory_mib: int, max_pages: int, part: Part = WHOLE
) -> PdfText:
    """Return the texts of a part of the first `max_pages` pages; raise PdfRejected with the reason on a broken file."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    arguments = (theirs, str(path), deadline_s, memory_mib, max_pages, part)
    child = _PROCESSES.Process(target=_child, args=arguments, daemon=True)
    child.start()
    theirs.close()
    late = PdfRejected(f"not read within {deadline_s:g} s")
    try:
        if not ours.poll(deadline_s):
            raise late
        answer = ours.recv()
    except EOFError:
        child.join()
        if child.exitcode in (-signal.SIGALRM, -signal.SIGXCPU):
            raise late from None
        raise PdfRejected(f"reader crashed (status {child.exitcode})") from None
    finally:
        child.kill()
        child.join()
        ours.close()
    if isinstance(answer, str):
        raise PdfRejected(answer)
    return answer  # type: ignore[no-any-return]


def joined(parts: Sequence[PdfText]) -> PdfText:
    """Return the text of a file from all its parts; raise PdfRejected when it is a scan."""
    count, pictures = parts[0].page_count, any(part.pictures for part in parts)
    pages = [
        page
        for pages in zip_longest(*(part.pages for part in parts))
        for page in pages
        if page is not None
    ]
    if pictures and not any(page.text.strip() for page in pages):
        raise PdfRejected("no text, only images: a scan")
    return PdfText(pages, count, pictures)


def _child(
    answers: Connection, path: str, deadline_s: float, memory_mib: int, max_pages: int, part: Part
) -> None:
    # The kernel ends this process at its deadline even when the stage is gone by then.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, deadline_s + 0.5)
    seconds = math.ceil(deadline_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    from components.extract.quick import quicken

    gc.disable()
    gc.freeze()  # what was loaded before is no garbage and need not be looked through
    quicken()
    answer: PdfText | str = f"{NO_MEMORY} ({memory_mib} MiB)"
    with contextlib.suppress(MemoryError):
        try:
            answer = _read(Path(path), max_pages, part)
        except PdfRejected as rejected:
            answer = str(rejected)
    answers.send(answer)


def _read(path: Path, max_pages: int, part: Part) -> PdfText:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import LimitReachedError

    logging.getLogger("pypdf").setLevel(
        logging.CRITICAL
    )  # it warns once a font, for thousands of fonts
    with path.open("rb") as file:
        start = file.read(SIGNATURE_WITHIN)
    if not start:
        raise PdfRejected("empty file")
    if b"%PDF-" not in start:
        raise PdfRejected("not a PDF")
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise PdfRejected("encrypted")
        count = len(reader.pages)
        pages = []
        for number in range(part.number, min(count, max_pages), part.of):
            pages.append(_page(reader.pages[number]))
            if len(pages) % COLLECT_EVERY == 0:
                gc.collect()
        pictures = not any(page.text.strip() for page in pages) and _has_images(
            reader, min(count, max_pages)
        )
    except (PdfRejected, MemoryError):
        raise
    except LimitReachedError as error:
        loops = any(word in str(error) for word in ("loop", "cycle", "cyclic"))
        reason = (
            "broken PDF (refers to itself)" if loops else "unpacks to more than any paper holds"
        )
        raise PdfRejected(reason) from None
    except (
        Exception
    ) as error:  # pypdf lets errors of many kinds escape on broken files; all mean the same here
        raise PdfRejected(f"broken PDF ({type(error).__name__})") from None
    if count == 0:
        raise PdfRejected("no pages")
    return PdfText(pages, count, pictures)


def _page(page: Any) -> PageText:
    """Return a page's text without what is hidden on it.

    Where more is white or invisible than not, that is how the page is made: a dark page, or a scan under the text that
    was recognised in it. Then only tiny text and text off the page counts as hidden.
    """
    box = tuple(map(float, page.mediabox))
    text, watch = _extract(page, box, frozenset())
    if (
        sum(len(piece.strip()) for reason, piece in watch.found if reason in ("white", "invisible"))
        > watch.seen
    ):
        text, watch = _extract(page, box, frozenset({"white", "invisible"}))
    return PageText(text, watch.found)


def _extract(page: Any, box: Any, ignore: frozenset[str]) -> tuple[str, HiddenText]:
    watch = HiddenText(box, ignore)
    text = page.extract_text(visitor_operand_before=watch.before, visitor_operand_after=watch.after)
    return text, watch


def _has_images(reader: Any, pages: int) -> bool:
    return any(
        "/XObject" in (reader.pages[number].get("/Resources") or {}) for number in range(pages)
    )
