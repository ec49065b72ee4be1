"""Generate: documents -> triples."""

import json
import re
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from components.generate.collect import AnyTeacher, Collector
from components.generate.config import GenerateConfig
from components.generate.embedded import EmbeddedTeacher
from components.generate.evidence import evidence, score
from components.generate.groq import GroqTeacher
from components.generate.teacher import Answer, Draft, Request
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


def generate(config: GenerateConfig, documents: Path, triples: Path) -> dict[str, Any]:
    """Turn the pages of documents into triples that know where they come from."""
    ledger = Ledger("generate", "triples")
    teacher = make_teacher(config)
    sources: list[Source] = []
    texts: dict[tuple[str, int], str] = {}  # paper and number of a page -> all of its text
    asked: dict[str, list[Request]] = {}  # by paper
    for document in read_records(documents / "documents.jsonl", Document):
        document = _sound(document)
        sources.append(Source.from_dict(document.to_dict()))
        sources[-1].extra = {}  # the pages stay behind
        for page in document.pages:
            texts[document.paper, page["number"]] = page["text"]
        # Curate would leave the triples of such a paper out; an embedded teacher costs nothing.
        if isinstance(teacher, GroqTeacher):
            rule = _rule(config, teacher, document.licence)
            if not rule.allowed:
                ledger.drop(document.paper, rule.reason)
                continue
        asked.setdefault(document.paper, []).extend(_requests(config, document))
    papers = {paper for paper, requests in asked.items() if requests}
    if told := forecast(config, documents, papers):
        say("generate", told)
    collector = Collector(config, teacher)
    answers = collector.answers(_best_first(asked))
    kept: dict[str, Triple] = {}
    for request in chain(*asked.values()):
        where, text = f"{request.paper}, page {request.page}", texts[request.paper, request.page]
        for number, draft in enumerate(_drafts(answers[request], where, ledger), 1):
            triple = _triple(teacher, request, text, draft)
            if reason := _fault(triple, kept):
                ledger.drop(f"{where}, triple {number}", reason, draft.instruction[:300])
            else:
                kept[triple.id] = triple
                ledger.keep()
    write_records(triples / "triples.jsonl", kept.values())
    write_records(triples / "sources.jsonl", sources)
    ledger.facts = {"teacher": teacher.name, "pages": len(answers), **collector.facts}
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
    base = UNKNOWN
    if not ruling("cc0", teacher.licence, UNKNOWN, allowed).allowed:
        base = base_terms(config.base_model)
    return ruling(licence, teacher.licence, base, allowed)


def _sound(document: Document) -> Document:
    """Return a document without halves of surrogate pairs; all offsets stay true."""
    text = json.dumps(document.to_dict(), ensure_ascii=False)
    return Document.from_dict(json.loads(_SURROGATE.sub("\ufffd", text)))


def _requests(config: GenerateConfig, document: Document) -> list[Request]:
    requests = []
    for page in document.pages:
        text = _unmarked(page)
        if "reject" not in page and len(text) >= config.min_page_characters:
            shown = text[: config.max_page_characters]
            place = document.paper, document.version, page["number"]
            requests.append(Request(*place, shown, config.seed, document.title))
    return requests[: config.max_pages_per_paper or None]


def _best_first(asked: dict[str, list[Request]]) -> list[Request]:
    """Return the requests in turns of the papers, the longest page of each first."""
    longest_first = []
    for requests in asked.values():
        longest_first.append(sorted(requests, key=lambda r: (-len(r.text), r.page)))
    ordered: list[Request] = []
    for turn in zip_longest(*longest_first):
        ordered += filter(None, turn)
    return ordered


def _unmarked(page: dict[str, Any]) -> str:
    """Return a page's text without the references and boilerplate that extract marked."""
    text: str = page["text"]
    for mark in sorted(page.get("marks", ()), key=lambda mark: -mark["start"]):
        text = f"{text[: mark['start']].rstrip()}\n{text[mark['end'] :].lstrip()}"
    return text.strip("\n")


def _drafts(answer: Answer, where: str, ledger: Ledger) -> list[Draft]:
    """Return the tasks in an answer; a page without any becomes a reject that says why."""
    if isinstance(answer, str):
        ledger.drop(where, answer)
        return []
    drafts = parse(answer.text, cut=answer.cut)
    if drafts is None:
        reason = answer.problem or "no triple in the teacher's answer"
        ledger.drop(where, reason, answer.text[:300])
        return []
    if not drafts:
        ledger.drop(where, "the teacher found no task on the page", answer.text[:300])
    if len(drafts) > MAX_TRIPLES:
        ledger.drop(where, f"more than {MAX_TRIPLES} tasks on one page: the others are left out")
    return drafts[:MAX_TRIPLES]


def _triple(teacher: AnyTeacher, request: Request, text: str, draft: Draft) -> Triple:
    """Return the triple with its place in the page's whole text, which the offsets count in."""
    task = draft.instruction, draft.input, draft.output
    spans, grounded = [], 0.0
    if draft.whole and max(map(len, task)) <= MAX_CHARACTERS:
        spans = evidence(text, draft.input, draft.output)
        grounded = score(text, spans, draft.input, draft.output)
    return Triple(
        id=digest([request.paper, request.version, request.page, *task])[:16],
        instruction=draft.instruction,
        input=draft.input,
        output=draft.output,
        kind=draft.kind,
        paper=request.paper,
        version=request.version,
        page=request.page,
        evidence=[list(span) for span in spans],
        grounding=grounded,
        teacher=teacher.name,
        teacher_licence=teacher.licence,
        prompt_hash=teacher.prompt_hash,
    )


def _fault(triple: Triple, kept: dict[str, Triple]) -> str:
    """Return why a triple cannot be kept, or nothing."""
    if not triple.instruction:
        return "no instruction: missing, cut off or damaged"
    if not triple.output:
        return "no output: missing, cut off or damaged"
    if not triple.evidence:
        return "longer than any page"
    return "the same triple twice" if triple.id in kept else ""
