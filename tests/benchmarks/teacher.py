"""Answers a second of a teacher with 300 ms latency: one page after the other, as the reference
project asks, against the generate stage.

A second part asks a teacher limited to 30 requests and 8,000 tokens a minute (a minute takes a
second here): how much of the allowed tokens is used, and how many requests are refused. The plain
way sends all it can.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.generate.groq import GroqTeacher
from components.generate.standin import KEY, StandIn
from components.generate.teacher import Request
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.http import FetchError
from components.shared.records import write_records
from tests.benchmarks.ratio import Ratio
from tests.builders import document

LATENCY, REFERENCE_PAGES, PAGES, LIMITED_PAGES = 0.3, 20, 400, 120
LIMITS = {"RPM": 30, "TPM": 8000}


def measure() -> Iterator[Ratio]:
    """Ask both ways."""
    os.environ["GROQ_API_KEY"] = KEY
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield _throughput(Path(name))
        yield from _limits(Path(name))


def _throughput(folder: Path) -> Ratio:
    with StandIn(latency=LATENCY) as standin:
        started = time.perf_counter()
        teacher = GroqTeacher(GenerateConfig(teacher_url=standin.url))
        for page in islice(_pages(), REFERENCE_PAGES):
            teacher.send(teacher.payload(Request("2405.90001", 1, 1, page, 42)))
        reference = REFERENCE_PAGES / (time.perf_counter() - started)
    with StandIn(latency=LATENCY) as standin:
        started = time.perf_counter()
        _generate(folder, standin, PAGES)
        return Ratio(
            "teacher at 300 ms, answers/s", reference, PAGES / (time.perf_counter() - started)
        )


def _limits(folder: Path) -> Iterator[Ratio]:
    used, refused = {}, {}
    for way in ("plain", "ours"):
        with StandIn(limits=LIMITS, minute=1.0) as standin:
            if way == "plain":
                _plain(standin)
            else:
                _generate(
                    folder,
                    standin,
                    LIMITED_PAGES,
                    max_answer_tokens=512,
                    store=str(folder / "limited"),
                )
        allowed = LIMITS["TPM"] * (1 + standin.ended - standin.started)
        used[way] = 100 * sum(tokens for _, tokens in standin.bill) / allowed
        refused[way] = 100 * standin.requests.count(429) / len(standin.requests)
    yield Ratio("teacher, % of allowed tokens used", used["plain"], used["ours"])
    yield Ratio(
        "teacher, % of requests refused", refused["plain"], refused["ours"], less_is_better=True
    )


def _plain(standin: StandIn) -> None:
    """Ask with 8 threads and two retries of each request, as client libraries do."""
    teacher = GroqTeacher(GenerateConfig(teacher_url=standin.url, max_answer_tokens=512))

    def ask(page: str) -> None:
        payload = teacher.payload(Request("2405.90001", 1, 1, page, 42))
        for attempt in range(3):
            try:
                teacher.send(payload)
                return
            except FetchError as error:
                if attempt < 2:
                    time.sleep(error.after_s or 0.5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, islice(_pages(), LIMITED_PAGES)))


def _generate(folder: Path, standin: StandIn, pages: int, **knobs: Any) -> None:
    write_records(folder / "documents/documents.jsonl", [document(list(islice(_pages(), pages)))])
    settings = {"store": str(folder / "store"), **knobs}
    config = GenerateConfig(teacher="groq", teacher_url=standin.url, **settings)
    summary = generate(config, folder / "documents", folder / "triples")
    assert summary["facts"]["answers asked for"] == pages, json.dumps(summary["dropped"])


def _pages() -> Iterator[str]:
    """Yield different pages without end: the sample papers' sections, numbered from the second time
    on."""
    for again in count():
        for path in sorted(SAMPLES.glob("*.txt")):
            for _, paragraphs in parse_sections(path.read_text("utf-8")):
                if len(text := "\n\n".join(paragraphs)) >= 400:
                    yield f"{text} Copy number {again} ends here." if again else text
