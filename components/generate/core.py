"""Generate: documents -> triples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.generate.collect import Collector
from components.generate.config import GenerateConfig
from components.generate.evidence import evidence, judge
from components.generate.teacher import Draft, Reply, Request, Teacher
from components.generate.triples import parse
from components.shared.ledger import Ledger
from components.shared.records import Document, Source, Triple, digest, read_records, write_records


def generate(config: GenerateConfig, documents: Path, triples: Path) -> dict[str, Any]:
    """Ask the teacher about every page and turn its answers into triples that know where they come from."""
    found = list(read_records(documents / "documents.jsonl", Document))
    ledger = Ledger("generate", "triples")
    teacher = make_teacher(config)
    pages = {
        (document.paper, page["number"]): page["text"]
        for document in found
        for page in document.pages
    }
    requests = [request for document in found for request in _requests(config, document)]
    collector = Collector(config, teacher)
    answers = collector.answers(requests)
    kept: dict[str, Triple] = {}
    for request, answer in zip(requests, answers, strict=True):
        where = f"{request.paper}, page {request.page}"
        drafts = parse(answer.text, cut=answer.cut) if isinstance(answer, Reply) else None
        if drafts is None:
            reason = answer if isinstance(answer, str) else "no triple in the teacher's answer"
            ledger.drop(where, reason, answer.text[:300] if isinstance(answer, Reply) else "")
            continue
        if not drafts:
            ledger.drop(where, "the teacher found no task on the page")
        for number, draft in enumerate(drafts, 1):
            triple = _triple(teacher, request, pages[request.paper, request.page], draft)
            if reason := _fault(triple, kept):
                ledger.drop(f"{where}, triple {number}", reason, draft.instruction[:300])
            else:
                kept[triple.id] = triple
                ledger.keep()
    write_records(triples / "triples.jsonl", kept.values())
    write_records(
        triples / "sources.jsonl", (Source.from_dict(document.to_dict()) for document in found)
    )
    ledger.facts |= {"teacher": teacher.name, "pages": len(requests)}
    ledger.facts |= collector.facts
    return ledger.write(triples, documents)


def make_teacher(config: GenerateConfig) -> Teacher:
    """Return the teacher that the config names; raise TeacherError when it cannot work (no key, say)."""
    if config.teacher == "embedded":
        from components.generate.embedded import EmbeddedTeacher

        return EmbeddedTeacher()
    from components.generate.groq import GroqTeacher

    return GroqTeacher(config.teacher_model, config.teacher_url, config.max_answer_tokens)


def _requests(config: GenerateConfig, document: Document) -> Iterator[Request]:
    texts = {page["number"]: _unmarked(page) for page in document.pages if "reject" not in page}
    chosen = [
        (number, text) for number, text in texts.items() if len(text) >= config.min_page_characters
    ]
    for number, text in chosen[: config.max_pages_per_paper or None]:
        yield Request(
            paper=document.paper,
            version=document.version,
            page=number,
            text=text[: config.max_page_characters],
            seed=config.seed,
        )


def _unmarked(page: dict[str, Any]) -> str:
    """Return a page's text without the references and boilerplate that extract marked."""
    text: str = page["text"]
    for mark in sorted(page.get("marks", ()), key=lambda mark: -mark["start"]):
        text = f"{text[: mark['start']].rstrip()}\n{text[mark['end'] :].lstrip()}"
    return text.strip("\n")


def _triple(teacher: Teacher, request: Request, text: str, draft: Draft) -> Triple:
    """Return the triple with its place in the page's whole text, which the offsets count in."""
    spans = evidence(text, draft.input, draft.output)
    content = [
        request.paper,
        request.version,
        request.page,
        draft.instruction,
        draft.input,
        draft.output,
    ]
    return Triple(
        id=digest(content)[:16],
        instruction=draft.instruction,
        input=draft.input,
        output=draft.output,
        kind=draft.kind,
        paper=request.paper,
        version=request.version,
        page=request.page,
        evidence=[list(span) for span in spans],
        grounding=judge(text, spans, draft.input, draft.output).score,
        teacher=teacher.name,
        teacher_licence=teacher.licence,
        prompt_hash=teacher.prompt_hash,
    )


def _fault(triple: Triple, kept: dict[str, Triple]) -> str:
    """Return why a triple cannot be kept, or nothing."""
    for name in ("instruction", "output"):
        if not getattr(triple, name):
            return f"no {name}"
    return "the same triple twice" if triple.id in kept else ""
