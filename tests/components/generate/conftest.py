"""Documents to ask a teacher about, the stage set up to ask a stand-in, and a server that plays
recorded cases."""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.generate.config import GenerateConfig
from components.generate.core import generate
from components.generate.standin import KEY
from components.scrape.standin.corpus import SAMPLES, parse_sections
from components.shared.loopback import LoopbackServer, QuickHandler
from components.shared.records import file_digest, write_records
from tests.builders import document

Run = Callable[..., dict[str, Any]]
SERVED = ["openai/gpt-oss-120b", "openai/gpt-oss-20b"]
USAGE = {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020}


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
    """Return a function that runs the stage against a server; the same folder and store each
    time."""

    def run(
        server: LoopbackServer,
        count: int = 12,
        store: str = "store",
        texts: list[str] | None = None,
        **knobs: Any,
    ) -> dict[str, Any]:
        found = document(list(pages(count)) if texts is None else texts)
        write_records(tmp_path / "documents/documents.jsonl", [found])
        settings = {
            "backoff_s": 0.02,
            "max_answer_tokens": 1024,
            "answer_deadline_s": 10.0,
            "teacher_url": server.url,
            **knobs,
        }
        config = GenerateConfig(teacher="groq", store=str(tmp_path / store), **settings)
        return generate(config, tmp_path / "documents", tmp_path / "triples")

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[[], str]:
    """Return a function that names the triples by their content."""
    return lambda: file_digest(tmp_path / "triples/triples.jsonl")


class Played(LoopbackServer):
    """Plays one case: a recorded answer or error for each request, the last one again and again.

    `asked` holds the requests. A case has the fields of a message (content, finish_reason, message,
    usage), or of an error (status, error), or a `raw` body; or a list of such `replies`; and the
    models `served`, with the answer `gone` for others; and a `limit` of max_completion_tokens with
    the answer `over` it.
    """

    def __init__(self, case: dict[str, Any]) -> None:
        self.case, self.asked = case, list[dict[str, Any]]()
        self.replies = list(case.get("replies", [case]))
        self.lock = threading.Lock()
        super().__init__(type("Handler", (_Player,), {"played": self}))

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        with self.lock:
            self.asked.append(request)
            if "gone" in self.case and request["model"] not in self.case["served"]:
                return dict(self.case["gone"])
            if request["max_completion_tokens"] > self.case.get("limit", 2**31):
                return dict(self.case["over"])
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Player(QuickHandler):
    played: Played

    def do_GET(self) -> None:  # noqa: N802
        served = self.played.case.get("served", SERVED)
        self._send(200, json.dumps({"data": [{"id": name} for name in served]}).encode(), {})

    def do_POST(self) -> None:  # noqa: N802
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.played.reply(request)
        if "raw" in reply:
            raw = reply["raw"]
            body = raw if isinstance(raw, bytes) else raw.encode()
        elif "error" in reply:
            body = json.dumps({"error": reply["error"]}).encode()
        else:
            message = {"role": "assistant", "content": reply["content"], **reply.get("message", {})}
            choice = {"message": message, "finish_reason": reply.get("finish_reason", "stop")}
            answer = {"choices": [choice], "usage": reply.get("usage", USAGE)}
            body = json.dumps(answer).encode()
        self._send(reply.get("status", 200), body, reply.get("headers", {}))

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
