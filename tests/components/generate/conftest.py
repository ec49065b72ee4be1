"""Documents to ask a teacher about, and the stage set up to ask the stand-in for Groq."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.generate.standin import KEY, StandIn
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.records import file_digest, write_records
from tests.builders import document

Run = Callable[..., dict[str, Any]]


def pages(count: int) -> Iterator[str]:
    """Yield different pages of about 1,000 characters, made of the sample papers' sections."""
    for path in sorted(SAMPLES.glob("*.txt")):
        for _, paragraphs in parse_sections(path.read_text("utf-8")):
            if count and len(text := "\n\n".join(paragraphs)) >= 400:
                count -= 1
                yield text


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder in memory where there is one: what is measured here is not the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def groq_key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    return KEY


@pytest.fixture
def ask(tmp_path: Path, groq_key: str) -> Run:
    """Return a function that runs the stage against a stand-in; the same folder and store each time."""

    def run(
        standin: StandIn, count: int = 12, store: str = "store", **knobs: Any
    ) -> dict[str, Any]:
        write_records(tmp_path / "documents/documents.jsonl", [document(list(pages(count)))])
        settings = {
            "backoff_s": 0.02,
            "max_answer_tokens": 1024,
            "answer_deadline_s": 10.0,
            **knobs,
        }
        config = GenerateConfig(
            teacher="groq", teacher_url=standin.url, store=str(tmp_path / store), **settings
        )
        return generate(config, tmp_path / "documents", tmp_path / "triples")

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[], str]:
    """Return a function that names the triples by their content."""
    return lambda: file_digest(tmp_path / "triples/triples.jsonl")
