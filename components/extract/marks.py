"""Mark what of a page is not for learning: references, boilerplate; and find instructions aimed at language models."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

_REFERENCES = re.compile(
    r"^(?:\d{1,2}\.?\s+|[IVX]+\.\s+)?(?:references|bibliography|literature cited)\s*$", re.I | re.M
)
_AFTER = re.compile(
    r"^(?:(?:appendix|appendices|supplementary|supplemental)\b.{0,60}|[A-H]\.?(?:\d\.?)?\s+[A-Z][^.\n]{3,70})$",
    re.M | re.I,
)
_BOILERPLATE = re.compile(
    r"^.*(?:permission to make digital or hard copies|copyrights for components|all rights reserved|under review as a"
    r"|preprint\. (?:under|work)|corresponding authors?\s*:|equal contribution|^\W*\{?[\w.,\s]+\}?@[\w.-]+\.\w+"
    r"|https?://doi\.org/\S+\s*$|©|proceedings of the \d).*$",
    re.IGNORECASE | re.MULTILINE,
)
_THANKS = re.compile(
    r"^(?:\d{1,2}\.?\s+)?(?:acknowledge?ments?|funding|author contributions|conflicts? of interest)\s*$",
    re.I | re.M,
)
_HEADING = re.compile(r"^(?:(?:\d{1,2}|[A-H])\.?\s+)?[A-Z][^.\n]{2,60}$", re.MULTILINE)
_TO_A_MODEL = re.compile(
    r"\b(?:"
    r"(?:ignore|disregard|forget)\s+(?:all\s+|any\s+)?(?:of\s+)?(?:the\s+|your\s+)?(?:previous|prior|above|earlier|preceding)"
    r"\s+(?:instructions?|prompts?|directions|text)"
    r"|(?:llm|language\s+model|ai|gpt|assistant|chatbot)\s*(?:reviewers?|s)?\s*[:,]\s*(?:please\s+)?"
    r"(?:give|write|ignore|answer|output|respond|recommend|say)"
    r"|(?:give|provide|write)\s+(?:only\s+)?(?:a\s+)?positive\s+review|do\s+not\s+(?:highlight|mention)\s+any\s+negatives?"
    r"|you\s+are\s+(?:now\s+)?(?:an?\s+)?(?:ai|llm|language\s+model|assistant|helpful\s+assistant|dan)\b"
    r"|(?:reveal|print|repeat)\s+(?:your|the)\s+(?:system\s+)?prompt"
    r")[^.!?\n]*[.!?]?",  # to the end of its sentence
    re.IGNORECASE,
)


def to_a_model(text: str) -> list[str]:
    """Return the sentences that tell a language model what to do."""
    return [_told(text, start, end) for start, end in _spans(text)]


def without_instructions(text: str) -> tuple[str, list[str]]:
    """Return the text without such sentences, and the sentences."""
    kept, found, at = "", [], 0
    for start, end in _spans(text):
        kept, at = kept + text[at:start], end
        found.append(_told(text, start, end))
    return "\n".join(line for line in (kept + text[at:]).split("\n") if line.strip()), found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each such sentence; looking for its start in the pattern would be quadratic in a line."""
    for told in _TO_A_MODEL.finditer(text):
        yield max(text.rfind(mark, 0, told.start()) for mark in ".!?\n") + 1, told.end()


def _told(text: str, start: int, end: int) -> str:
    return " ".join(text[start:end].split())


def marks(pages: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return for each page its marks, {"kind", "start", "end"} in characters of the page, in order."""
    found: list[list[dict[str, Any]]] = [[] for _ in pages]
    for number, (kind, start, end) in _sections(pages):
        found[number].append({"kind": kind, "start": start, "end": end})
    for number, page in enumerate(pages):
        for line in _BOILERPLATE.finditer(page):
            if not any(mark["start"] <= line.start() < mark["end"] for mark in found[number]):
                found[number].append(
                    {"kind": "boilerplate", "start": line.start(), "end": line.end()}
                )
        found[number].sort(key=lambda mark: mark["start"])
    return found


def _sections(pages: Sequence[str]) -> Iterator[tuple[int, tuple[str, int, int]]]:
    """Yield the stretches of references, to the appendix or the end, and of acknowledgements, to the next heading."""
    inside = False
    for number, page in enumerate(pages):
        at = 0
        thanks = None if inside else _THANKS.search(page)
        if thanks:
            end = _HEADING.search(page, thanks.end() + 1)
            yield number, ("boilerplate", thanks.start(), end.start() if end else len(page))
        if not inside and (heading := list(_REFERENCES.finditer(page))):
            inside, at = True, heading[-1].start()
        if inside:
            after = _AFTER.search(page, at + 12 if at else 0)
            stop = after.start() if after else len(page)
            if stop > at:
                yield number, ("references", at, stop)
            inside = after is None
