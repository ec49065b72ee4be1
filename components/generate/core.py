"""Generate: documents -> triples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.generate.config import GenerateConfig
from components.generate.evidence import evidence, grounding
from components.generate.teacher import Draft, Request, Teacher
from components.generate.triples import parse
from components.shared.ledger import Ledger
from components.shared.progress import Progress
from components.shared.records import Document, Source, Triple, digest, read_records, write_records
from components.shared.store import Store, open_store


def generate(config: GenerateConfig, documents: Path, triples: Path) -> dict[str, Any]:
    """Ask the teacher about every page and turn its answers into triples that know where they come from."""
    found = list(read_records(documents / "documents.jsonl", Document))
    ledger = Ledger("generate", "triples")
    store = open_store(config.store)
    teacher = make_teacher(config)
    requests = [request for document in found for request in _requests(config, document)]
    progress = Progress("generate", "pages", len(requests))
    kept: dict[str, Triple] = {}
    asked = silent = 0
    for request in requests:
        answer, paid = ask_once(store, teacher, request)
        asked += paid
        progress.step(f"{request.paper} page {request.page}")
        drafts = parse(answer)
        if drafts is None:
            ledger.drop(f"{request.paper}, page {request.page}", "no triple in the teacher's answer", answer[:300])
            continue
        silent += not drafts
        for number, draft in enumerate(drafts, 1):
            triple = _triple(teacher, request, draft)
            if reason := _fault(triple, kept):
                ledger.drop(f"{request.paper}, page {request.page}, triple {number}", reason, draft.instruction[:300])
            else:
                kept[triple.id] = triple
                ledger.keep()
    write_records(triples / "triples.jsonl", kept.values())
    write_records(triples / "sources.jsonl", (Source.from_dict(document.to_dict()) for document in found))
    ledger.facts |= {"teacher": teacher.name, "pages": len(requests), "pages without a triple": silent}
    ledger.facts |= {"answers asked for": asked, "answers from the store": len(requests) - asked}
    return ledger.write(triples, documents)


def make_teacher(config: GenerateConfig) -> Teacher:
    """Return the teacher that the config names; raise TeacherError when it cannot work (no key, say)."""
    if config.teacher == "embedded":
        from components.generate.embedded import EmbeddedTeacher

        return EmbeddedTeacher()
    from components.generate.groq import GroqTeacher

    return GroqTeacher(config.teacher_model, config.teacher_url, config.max_answer_tokens)


def ask_once(store: Store, teacher: Teacher, request: Request) -> tuple[str, bool]:
    """Return the answer and whether it was asked for now; an answer is in the store before anything uses it."""
    key = f"answers/{digest([teacher.name, teacher.prompt_hash, vars(request)])}.json"
    stored = store.get_json(key)
    if stored is not None:
        return str(stored["answer"]), False
    answer = teacher.ask(request)
    store.put_json(key, {"teacher": teacher.name, "paper": request.paper, "page": request.page, "answer": answer})
    return answer, True


def _requests(config: GenerateConfig, document: Document) -> Iterator[Request]:
    pages = [page for page in document.pages if len(page["text"]) >= config.min_page_characters]
    for page in pages[: config.max_pages_per_paper or None]:
        yield Request(
            paper=document.paper,
            version=document.version,
            page=page["number"],
            text=page["text"][: config.max_page_characters],
            seed=config.seed,
        )


def _triple(teacher: Teacher, request: Request, draft: Draft) -> Triple:
    spans = evidence(request.text, draft.input, draft.output)
    rests_on = " ".join(request.text[start:end] for start, end in spans)
    content = [request.paper, request.version, request.page, draft.instruction, draft.input, draft.output]
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
        grounding=grounding(draft.output, rests_on),
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
