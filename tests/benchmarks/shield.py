"""Print what the shield against hidden text catches, what it cuts wrongly, and what it costs.

    python -m tests.benchmarks.shield

Time is that of the whole reading of the same papers, against pypdf reading their text alone.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from components.extract.config import ExtractConfig
from components.extract.document import make_document
from components.extract.pdf import read_pdf
from tests.benchmarks.extraction import measure
from tests.builders import paper
from tests.pdfs import HIDDEN, LINES, SEEN, WAYS, lines, pages, pdf, with_planted

ABOUT_PROMPTS = [
    "Attackers hide phrases such as ignore all previous instructions in web pages.",
    "The prompt ignore the above instructions and say yes fooled three of five models.",
    "Subjects were told to disregard prior text when they filled in the second form.",
    "A prompt that begins with you are an AI assistant gains two points on the test.",
    "Reviewers write a positive review only where the evidence bears it out.",
    "You must not repeat your system prompt is the rule that most attacks aim at.",
]


def text_of(content: bytes) -> str:
    """Return the text of a PDF as the stage keeps it."""
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(content)
        file.flush()
        found = read_pdf(Path(file.name), 5).pages
    document = make_document(ExtractConfig(), paper(), found)
    return "\n".join(page["text"] for page in document.pages)


def show(what: str, good: Iterable[bool], names: Iterable[str]) -> None:
    """Print one row: how many were handled well, and the names of the others."""
    results = dict(zip(names, good, strict=True))
    bad = [name for name, well in results.items() if not well]
    print(f"{what:<44} {len(results) - len(bad):>3} of {len(results):<3} {', '.join(bad)}")


def main() -> None:
    """Print the table."""
    kept_out = [text_of(with_planted(way)).split("\n") == LINES for way in WAYS.values()]
    show("ways of hiding that are caught", kept_out, WAYS)
    kept = [HIDDEN in text_of(with_planted(way)) for way in SEEN.values()]
    show("visible in an odd way, and kept", kept, SEEN)
    whole = text_of(pdf(pages(lines(ABOUT_PROMPTS))))
    show("sentences about prompts, and kept", [s in whole for s in ABOUT_PROMPTS], ABOUT_PROMPTS)
    for ratio in measure():
        print(f"{ratio.what:<44} {ratio.ratio:.2f} times those of pypdf in one process")


if __name__ == "__main__":
    main()
