"""Generate: documents -> triples."""

import json
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

from components.generate.collect import AnyTeacher, Collector
from components.generate.config import GenerateConfig
from components.generate.embedded import EmbeddedTeacher
from components.generate.evidence import evidence, judge
from components.generate.groq import GroqTeacher
from components.generate.teacher import Draft, Reply, Request
from components.generate.triples import parse
from components.shared.bases import TINY, base_terms
from components.shared.corpus import forecast
from components.shared.errors import TeacherError
from components.shared.ledger import Ledger
from components.shared.licences import UNKNOWN, Ruling, ruling
from components.shared.progress import say
from components.shared.records import Document, Source, Triple, digest, read_records, write_records

MAX_TRIPLES = 50  # of one page; three are asked for
MAX_CHARACTERS = 20_000  # of one field; a page has about 4,000
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a pair: no text to send or to hash
Page = tuple[str, int]  # paper and number


def generate(config: GenerateConfig, documents: Path, triples: Path) -> dict[str, Any]:
    """Turn the pages of documents into triples that know where they come from."""
    found = [_sound(document) for document in read_records(documents / "documents.jsonl", Document)]
    ledger = Ledger("generate", "triples")
    teacher = make_teacher(config)
    texts: dict[Page, str] = {}
    papers = []  # the requests of each
    for document in found:
        texts |= {(document.paper, page["number"]): page["text"] for page in document.pages}
        # Curate would leave the triples of such a paper out; an embedded teacher costs nothing.
        rule = None
        if isinstance(teacher, GroqTeacher):
            rule = _rule(config, teacher, document.licence)
        if rule and not rule.allowed:
            ledger.drop(document.paper, rule.reason)
        else:
            papers.append(_requests(config, document))
    if told := forecast(config, documents, {request.paper for of in papers for request in of}):
        say("generate", told)
    collector = Collector(config, teacher)
    answers = collector.answers(_best_first(papers))
    kept: dict[str, Triple] = {}
    for request in [request for of_paper in papers for request in of_paper]:
        where, answer = f"{request.paper}, page {request.page}", answers[request]
        for number, draft in enumerate(_drafts(answer, where, ledger), 1):
            triple = _triple(teacher, request, texts[request.paper, request.page], draft)
            if reason := _fault(triple, kept):
                ledger.drop(f"{where}, triple {number}", reason, draft.instruction[:300])
            else:
                kept[triple.id] = triple
                ledger.keep()
    write_records(triples / "triples.jsonl", kept.values())
    write_records(
        triples / "sources.jsonl", (Source.from_dict(document.to_dict()) for document in found)
    )
    ledger.facts |= {"teacher": teacher.name, "pages": len(answers)}
    ledger.facts |= collector.facts
    return ledger.write(triples, documents)


def make_teacher(config: GenerateConfig) -> AnyTeacher:
    """Return the teacher that the config names, ready to be asked.

    Raises TeacherError when it cannot work or must not: no key, a model that is not served, or
    terms that forbid the base to learn from it.
    """
    if config.teacher == "embedded":
        return EmbeddedTeacher("quoting" if config.base_model == TINY else "varied")
    teacher = GroqTeacher(config)
    rule = _rule(config, teacher, "cc0")
    if not rule.allowed:
        raise TeacherError(
            f"{config.base_model} may not learn from {teacher.model}: {rule.reason}",
            f"{rule.source}; or name another by --teacher-model",
        )
    return teacher


def _rule(config: GenerateConfig, teacher: GroqTeacher, licence: str) -> Ruling:
    """Rule on asking about a paper; the base is looked up only where its terms matter."""
    allowed = config.allowed | {"cc0"}
    if ruling("cc0", teacher.licence, UNKNOWN, allowed).allowed:
        return ruling(licence, teacher.licence, UNKNOWN, allowed)
    return ruling(licence, teacher.licence, base_terms(config.base_model), allowed)


def _sound(document: Document) -> Document:
    """Return a document without halves of surrogate pairs; all offsets stay true."""
    text = json.dumps(document.to_dict(), ensure_ascii=False)
    return Document.from_dict(json.loads(_SURROGATE.sub("\ufffd", text)))


def _requests(config: GenerateConfig, document: Document) -> list[Request]:
    requests = []
    for page in document.pages:
        text = "" if "reject" in page else _unmarked(page)
        if len(text) >= config.min_page_characters:
            requests.append(
                Request(
                    paper=document.paper,
                    version=document.version,
                    page=page["number"],
                    text=text[: config.max_page_characters],
                    seed=config.seed,
                    title=document.title,
                )
            )
    return requests[: config.max_pages_per_paper or None]


def _best_first(papers: list[list[Request]]) -> list[Request]:
    """Return the requests in turns of the papers, the longest page of each first."""
    longest_first = [sorted(requests, key=lambda r: (-len(r.text), r.page)) for requests in papers]
    rounds = zip_longest(*longest_first)
    return [request for each in rounds for request in each if request is not None]


def _unmarked(page: dict[str, Any]) -> str:
    """Return a page's text without the references and boilerplate that extract marked."""
    text: str = page["text"]
    for mark in sorted(page.get("marks", ()), key=lambda mark: -mark["start"]):
        text = f"{text[: mark['start']].rstrip()}\n{text[mark['end'] :].lstrip()}"
    return text.strip("\n")


def _drafts(answer: Reply | str, where: str, ledger: Ledger) -> list[Draft]:
    """Return the tasks in an answer; a page without any becomes a reject that says why."""
    if isinstance(answer, str):
        ledger.drop(where, answer)
        return []
    drafts = parse(answer.text, cut=answer.cut)
    if not drafts:
        reason = "the teacher found no task on the page"
        if drafts is None:
            reason = answer.problem or "no triple in the teacher's answer"
        ledger.drop(where, reason, answer.text[:300])
    elif len(drafts) > MAX_TRIPLES:
        ledger.drop(where, f"more than {MAX_TRIPLES} tasks on one page: the others are left out")
    return (drafts or [])[:MAX_TRIPLES]


def _triple(teacher: AnyTeacher, request: Request, text: str, draft: Draft) -> Triple:
    """Return the triple with its place in the page's whole text, which the offsets count in."""
    draft_size = max(len(draft.instruction), len(draft.input), len(draft.output))
    readable = draft.whole and draft_size <= MAX_CHARACTERS
    spans = evidence(text, draft.input, draft.output) if readable else []
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
        grounding=judge(text, spans, draft.input, draft.output).score if readable else 0.0,
        teacher=teacher.name,
        teacher_licence=teacher.licence,
        prompt_hash=teacher.prompt_hash,
    )


def _fault(triple: Triple, kept: dict[str, Triple]) -> str:
    """Return why a triple cannot be kept, or nothing."""
    for name in ("instruction", "output"):
        if not getattr(triple, name):
            return f"no {name}: missing, cut off or damaged"
    if not triple.evidence:
        return "longer than any page"
    return "the same triple twice" if triple.id in kept else ""
