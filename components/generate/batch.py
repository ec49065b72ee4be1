"""Ask by Groq's Batch API: at half the price, with limits of its own, within hours instead of
minutes.

What was submitted stands in the store as `batches/<account>/<digest>/`, with the keys of its
answers before the batch is made and its id after: a stage that was killed at any point finds its
batch again and pays for nothing twice. See https://console.groq.com/docs/batch.
"""

import json
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

from components.generate.budget import BATCH_SHARE, Budget
from components.generate.config import GenerateConfig
from components.generate.groq import GroqTeacher
from components.generate.teacher import Answer, Payload, Reply
from components.shared.errors import TeacherError
from components.shared.http import FetchError, Response, retry
from components.shared.progress import say
from components.shared.records import digest
from components.shared.store import Store
from components.shared.text import clean_line, finite

MAX_FILE_BYTES = 200 * 2**20  # of a file of requests or answers; Groq takes no more
MAX_REQUESTS = 50_000
GRACE_H = 1.0  # beyond the window, for a batch that is just being finished
CHAT = "/v1/chat/completions"
JSON = "application/json"
Found = Generator[tuple[str, Answer], None, None]


class Batches:
    """The batches of one account in one store."""

    def __init__(
        self, config: GenerateConfig, teacher: GroqTeacher, store: Store, budget: Budget,
        keep: Callable[[str, Reply], Answer],
    ) -> None:  # fmt: skip
        self._config, self._teacher, self._store = config, teacher, store
        self._budget, self._keep = budget, keep
        self._home = f"batches/{digest([teacher.name, teacher.url])[:16]}"

    def run(self, payloads: dict[str, Payload]) -> Found:
        """Yield what became of each request; batches left open by earlier runs come first."""
        missing = dict(payloads)
        for name in sorted({key.split("/")[2] for key in self._store.list(self._home)}):
            keys = self._store.get_json(f"{self._home}/{name}/keys.json") or []
            say("generate", f"batch of {len(keys)} requests found again")
            yield from self._collect(
                name, {key: missing.pop(key) for key in keys if key in missing}
            )
        chosen: dict[str, Payload] = {}
        for key, payload in missing.items():
            reason = "left for another run: a batch is full"
            if len(chosen) < MAX_REQUESTS:
                reason = self._budget.reserve(payload, BATCH_SHARE, wait=False)
            if reason:
                yield key, reason
            else:
                chosen[key] = payload
        if chosen:
            name = digest(sorted(chosen))[:16]
            self._store.put_json(f"{self._home}/{name}/keys.json", sorted(chosen))
            yield from self._collect(name, dict(chosen))
        for payload in chosen.values():
            self._budget.release(payload, BATCH_SHARE)

    def _collect(self, name: str, payloads: dict[str, Payload]) -> Found:
        """Wait for a batch, made where there is none yet, yield its answers and forget it."""
        path = f"{self._home}/{name}/batch.json"
        known = self._store.get_json(path) or self._find(name)
        if not known and payloads:
            known = self._submit(name, payloads)
        if known:
            self._store.put_json(path, {"id": known["id"]})
            ended = self._wait(str(known["id"]), f"{self._home}/{name}")
            for field in ("output_file_id", "error_file_id"):
                if file := ended.get(field):
                    yield from self._answers(str(file), payloads)
        for key in payloads:
            yield key, "not answered within the batch's time"
        self._store.delete_folder(f"{self._home}/{name}")

    def _find(self, name: str) -> Any:
        """Return a batch that was made, but whose id was lost with the process that made it."""
        listed = self._ask("/batches?limit=100")
        for batch in listed.get("data") or ():
            mine = (batch.get("metadata") or {}).get("arxtune") == name
            if mine and batch.get("status") not in ("failed", "cancelled"):
                return batch
        return None

    def _submit(self, name: str, payloads: dict[str, Payload]) -> Any:
        lines = []
        for key, body in payloads.items():
            lines.append(
                json.dumps({"custom_id": key, "method": "POST", "url": CHAT, "body": body})
            )
        file = f"{name}.jsonl", "\n".join(lines).encode(), "application/jsonl"
        form = httpx.Request("POST", "", data={"purpose": "batch"}, files={"file": file})
        uploaded = self._ask("/files", form.read(), form.headers["Content-Type"])
        order = {
            "input_file_id": uploaded["id"],
            "endpoint": CHAT,
            "completion_window": f"{self._config.batch_hours}h",
            "metadata": {"arxtune": name},
        }
        batch = self._ask("/batches", json.dumps(order).encode())
        say("generate", f"batch {clean_line(str(batch['id']))}: {len(lines)} requests submitted")
        return batch

    def _wait(self, batch: str, home: str) -> Any:
        """Return a batch once it has ended; raise TeacherError when it failed or takes too long."""
        deadline = time.monotonic() + (self._config.batch_hours + GRACE_H) * 3600
        told = ""
        while time.monotonic() < deadline:
            found = self._ask(f"/batches/{batch}")
            status, counts = str(found.get("status")), found.get("request_counts") or {}
            done, total = counts.get("completed", 0), counts.get("total", "?")
            line = f"batch {status}: {done} of {total} answered"
            if line != told:
                say("generate", clean_line(line))
                told = line
            if status in ("completed", "expired", "cancelled"):
                return found
            if status == "failed":
                self._store.delete_folder(home)
                raise TeacherError(
                    f"the batch failed: {clean_line(json.dumps(found.get('errors')))[:300]}",
                    "run again, or set generate.teacher_mode=live",
                )
            time.sleep(self._config.batch_poll_s)
        raise TeacherError("the batch is not done in its time", "run again: it is found again")

    def _answers(self, file: str, payloads: dict[str, Payload]) -> Found:
        """Yield the answers in a file of results, and take them out of `payloads`."""
        for line in self._fetch(f"/files/{file}/content").body.splitlines():
            row = self._teacher.decode(line)
            if isinstance(row, dict) and str(row.get("custom_id")) in payloads:
                key = str(row["custom_id"])
                yield key, self._answer(key, row, payloads.pop(key))

    def _answer(self, key: str, row: dict[str, Any], payload: Payload) -> Answer:
        told = row.get("response") or {"status_code": 500, "body": {"error": row.get("error")}}
        body = json.dumps(told.get("body")).encode()
        status = int(finite(told.get("status_code"), 100, 599) or 500)
        try:
            reply = self._teacher.read(Response(status, {}, body, ""), payload)
        except FetchError as error:
            return f"failed in the batch ({status}): {error.detail or error.reason}"[:300]
        self._budget.book(reply, BATCH_SHARE)
        return self._keep(key, reply)

    def _ask(self, path: str, content: bytes = b"", kind: str = JSON) -> dict[str, Any]:
        body = self._teacher.decode(self._fetch(path, content, kind).body)
        if not isinstance(body, dict) or (content and not isinstance(body.get("id"), str)):
            raise TeacherError(f"{self._teacher.url}{path} answers something else than expected")
        return body

    def _fetch(self, path: str, content: bytes = b"", kind: str = JSON) -> Response:
        """Ask the Batch API; tries again, except where that could pay twice."""
        tries = self._config.retries + 1
        if content and path == "/batches":
            tries = 1

        def attempt() -> Response:
            response = self._teacher.fetch(path, content, kind=kind, max_bytes=MAX_FILE_BYTES)
            return response.check()

        try:
            return retry(attempt, tries=tries, pause_s=self._config.backoff_s)
        except FetchError as error:
            raise TeacherError(
                f"{self._teacher.url}{path}: {error.problem}",
                "run again: a batch that was made is found; or set generate.teacher_mode=live",
            ) from None
