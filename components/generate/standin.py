"""A stand-in for Groq as it was in November 2026: python -m components.generate.standin --help.

It speaks the real protocol over real HTTP: a list of models, chat completions, files and batches.
It keeps real limits (token buckets with Groq's headers), reasons before it answers, refuses what
Groq refuses, fails on demand, and writes a bill with the prices of teachers.toml. Its tasks are the
embedded teacher's, three a page. The minute can be made short.

Faults come by schedule, one a request, or by seed: then the n-th try of a request meets the same
fault in every run.

    401 404 413 498 500 503   that status
    429, 429:2                too many requests; with Retry-After
    reset                     a broken connection
    cut                       half of the body, then the end
    slow:2                    2 s, then as usual
    garbage                   200 with a body that is no JSON
    prose                     an answer without triples
    length                    an answer cut in its middle
    think                     reasoning fills all the room
"""

import argparse
import contextlib
import hashlib
import json
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.generate.embedded import EmbeddedTeacher
from components.generate.limits import Bucket
from components.generate.teacher import Request
from components.shared.loopback import LoopbackServer, QuickHandler
from components.shared.records import OPEN
from components.shared.teachers import batch_discount, plan, ranked, teacher

KEY = "gsk_stand_in"  # what the stand-in takes as a key when none is named
DECOMMISSIONED = ("qwen/qwen3-32b", "meta-llama/llama-4-scout-17b-16e-instruct")
# What a request may meet by seed: failures of transport, for an answer in bad form is asked for
# only once more.
PASSING = ["429", "429:0.05", "498", "500", "503", "reset", "cut", "garbage", "413", "slow:0.05"]
LIMITS = {
    "RPM": "requests_a_minute",
    "RPD": "requests_a_day",
    "TPM": "tokens_a_minute",
    "TPD": "tokens_a_day",
}
CHARACTERS_A_TOKEN = 4
OVERHEAD = 60  # tokens that chat format and schema add to a prompt
REASONING = (150, 450)  # tokens at low effort
BATCH_LOOKS = 2  # at a batch before it is done


class Reply(NamedTuple):
    """Status, body and headers; the tokens and dollars to book when the body has left."""

    status: int
    body: Any
    headers: dict[str, str] = {}  # noqa: RUF012  # nobody changes it
    tokens: int = 0
    dollars: float = 0.0


class StandIn(LoopbackServer):
    """Serve on loopback while the `with` block lasts. `requests` and `bill` tell what happened.

    A request is on the bill once its answer has left whole: what a client breaks off before that is
    not charged.
    """

    def __init__(
        self,
        *,
        limits: dict[str, int] | None = None,
        minute: float = 60.0,
        latency: float = 0.0,
        faults: Sequence[str] = (),
        fault_rate: float = 0.0,
        seed: int = 0,
        key: str = KEY,
        port: int = 0,
        bill: Path | None = None,
    ) -> None:
        self.latency, self.fault_rate, self.seed = latency, fault_rate, seed
        self.key, self.faults = key, list(faults)
        self.requests: list[int] = []  # statuses of questions in order, 0 for a reset
        self.bill: list[tuple[str, int]] = []  # hash of the request, tokens
        self.dollars = 0.0
        self.started = self.ended = 0.0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._bill_file, self._tries = bill, Counter[str]()
        self._prefixes: set[str] = set()
        self._buckets: dict[str, Bucket] = {}
        for name, limit in (limits or {}).items():
            rate = limit / (1440 * minute if name[2] == "D" else minute)
            self._buckets[name] = Bucket(limit, limit, rate, time.monotonic())
        self.lock = threading.Lock()
        super().__init__(type("Handler", (_Handler,), {"standin": self}), port)

    def charge(self, name: str, reply: Reply) -> None:
        """Put a request on the bill."""
        with self.lock:
            self.bill.append((name, reply.tokens))
            self.dollars += reply.dollars
            self.ended = time.monotonic()
            if self._bill_file:
                row = {"request": name, "tokens": reply.tokens, "dollars": reply.dollars}
                with self._bill_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

    def fault(self, name: str) -> str:
        """Return what the next try of a request meets, or ""."""
        with self.lock:
            self._tries[name] += 1
            if self.faults:
                return self.faults.pop(0)
            chance = random.Random(f"{self.seed}:{name}:{self._tries[name]}")
            if chance.random() < self.fault_rate:
                return chance.choice(PASSING)
            return ""

    def answer(self, body: dict[str, Any], fault: str, *, batch: bool = False) -> Reply:
        """Return the reply to a request that met no fault of its transport."""
        facts = teacher(body["model"])
        if refused := self._refusal(body):
            return refused
        system, page = str(body["messages"][0]["content"]), str(body["messages"][-1]["content"])
        prompt = OVERHEAD + sum(count(str(m["content"])) for m in body["messages"])
        most = int(body.get("max_completion_tokens") or 1024)
        if not batch and (refused := self._admit(body["model"], prompt + most)):
            return refused
        thoughts = 0
        if fault == "think":
            thoughts = most
        elif facts.reasoning_effort:
            thoughts = random.Random(page).randint(*REASONING)
        text = self._text(page, fault)
        room = max(most - thoughts, 0)
        finish = "stop"
        if count(text) > room or fault in ("length", "think"):
            text, finish = text[: min(len(text) * 2 // 3, room * CHARACTERS_A_TOKEN)], "length"
        cached, completion = 0, thoughts + count(text)
        with self.lock:
            if system in self._prefixes:
                cached = count(system)
            self._prefixes.add(system)
            for name, bucket in self._buckets.items():
                if name[0] == "T" and not batch:
                    bucket.level = min(bucket.limit, bucket.level + most - completion)
        dollars = facts.dollars(prompt, completion, cached) or 0.0
        if batch:
            dollars *= 1 - batch_discount()
        if fault == "prose" and "response_format" in body:
            told = "Failed to generate JSON. See 'failed_generation' for more details."
            failed = self.error(400, told, code="json_validate_failed", failed_generation=text)
            return failed._replace(tokens=prompt + completion, dollars=dollars)
        message = {"role": "assistant", "content": text}
        answer = {
            "id": "chatcmpl-standin",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": thoughts},
            },
        }
        return Reply(200, answer, self.headers(), prompt + completion, dollars)

    def take(self, form: bytes, kind: str) -> Reply:
        """Keep an uploaded file."""
        name, boundary = f"file_{len(self.files) + 1}", kind.partition("boundary=")[2]
        for part in form.split(f"--{boundary}".encode()):
            if b'name="file"' in part:
                self.files[name] = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return Reply(200, {"id": name, "object": "file"})

    def order(self, body: dict[str, Any]) -> Reply:
        """Make a batch of an uploaded file and answer it at once; it tells so after some looks."""
        name, rows = f"batch_{len(self.batches) + 1}", []
        for line in self.files[body["input_file_id"]].splitlines():
            asked = json.loads(line)
            request = hashlib.sha256(json.dumps(asked["body"]).encode()).hexdigest()
            reply = self.answer(asked["body"], self.fault(request), batch=True)
            if reply.tokens:
                self.charge(request, reply)
            response = {"status_code": reply.status, "body": reply.body}
            rows.append({"custom_id": asked["custom_id"], "response": response, "error": None})
        self.files[f"file_of_{name}"] = "\n".join(map(json.dumps, rows)).encode()
        self.batches[name] = {
            "id": name,
            "status": "in_progress",
            "metadata": body.get("metadata"),
            "looks": 0,
            "request_counts": {"total": len(rows), "completed": 0, "failed": 0},
        }
        return Reply(200, self.batches[name])

    def look(self, name: str) -> Reply:
        """Return a batch, which is done after some looks."""
        batch = self.batches[name]
        batch["looks"] += 1
        if batch["looks"] > BATCH_LOOKS:
            batch |= {"status": "completed", "output_file_id": f"file_of_{name}"}
            batch["request_counts"]["completed"] = batch["request_counts"]["total"]
        return Reply(200, batch)

    def error(self, status: int, message: str, retry_after: str = "", **more: str) -> Reply:
        """Return an error as Groq writes it."""
        headers = {}
        if retry_after:
            headers["Retry-After"] = retry_after
        error = {"message": message, "type": "invalid_request_error", **more}
        return Reply(status, {"error": error}, headers)

    def headers(self) -> dict[str, str]:
        """Return Groq's headers: the requests are those of a day, the tokens those of a minute."""
        found, now = {}, time.monotonic()
        with self.lock:
            for name, kind in (("RPD", "requests"), ("TPM", "tokens")):
                if bucket := self._buckets.get(name):
                    rest = max(0.0, bucket.now(now))
                    reset = duration((bucket.limit - bucket.level) / bucket.rate)
                    found[f"x-ratelimit-limit-{kind}"] = f"{bucket.limit:.0f}"
                    found[f"x-ratelimit-remaining-{kind}"] = f"{rest:.0f}"
                    found[f"x-ratelimit-reset-{kind}"] = reset
        return found

    def _refusal(self, body: dict[str, Any]) -> Reply | None:
        """Return what Groq answers to a request that it does not take."""
        model, facts = body["model"], teacher(body["model"])
        if model in DECOMMISSIONED:
            told = f"The model `{model}` has been decommissioned and is no longer supported."
            return self.error(400, told, code="model_decommissioned")
        if model not in [known.model for known in ranked()]:
            told = f"The model `{model}` does not exist or you do not have access to it."
            return self.error(404, told, code="model_not_found")
        if body.get("reasoning_effort", "low") not in ("low", "medium", "high"):
            return self.error(400, "`reasoning_effort` must be one of `low`, `medium`, or `high`")
        if (body.get("max_completion_tokens") or 0) > facts.longest_answer:
            told = f"`max_completion_tokens` must be less than or equal to `{facts.longest_answer}`"
            return self.error(400, told, param="max_completion_tokens")
        wanted = (body.get("response_format") or {}).get("json_schema", {})
        schema = json.dumps(wanted)
        closed = schema.count('"additionalProperties": false')
        if wanted.get("strict") and closed < schema.count('"type": "object"'):
            told = "strict: every object needs `additionalProperties: false`"
            return self.error(400, told, param="response_format")
        return None

    def _text(self, page: str, fault: str) -> str:
        if fault == "prose":
            return "I am sorry, but there is nothing on this page that I could make a task of."
        embedded = EmbeddedTeacher()
        text = "\n".join(page.split("\n")[1:-1])  # without the lines that quote it
        request = Request(paper="stand-in", version=1, page=1, text=text, seed=0)
        answer = json.loads(embedded.ask(embedded.payload(request)).text)
        rows = answer["triples"][:3]
        for row in rows:
            row["kind"] = OPEN
        return json.dumps({"triples": rows}, ensure_ascii=False)

    def _admit(self, model: str, tokens: int) -> Reply | None:
        """Take a request's share of each limit, or refuse it as Groq does and take nothing."""
        with self.lock:
            now = time.monotonic()
            self.started = self.started or now
            needs = {"TPM": tokens, "TPD": tokens, "RPM": 1, "RPD": 1}
            for name, bucket in self._buckets.items():
                what = LIMITS[name].replace("_a_", " per ")
                told = f"model `{model}` on {what} ({name}): Limit {bucket.limit:.0f}, "
                if needs[name] > bucket.limit:
                    told += f"Requested {needs[name]}, please reduce your message size."
                    return self.error(413, f"Request too large for {told}")
                wait = bucket.wait(needs[name], now)
                if wait > 0:
                    told += f"Used {bucket.limit - bucket.level:.0f}, Requested {needs[name]}. "
                    told += f"Please try again in {wait:.4g}s."
                    return self.error(429, f"Rate limit reached for {told}", f"{wait:.4g}")
            for name, bucket in self._buckets.items():
                bucket.level -= needs[name]
        return None


class _Handler(QuickHandler):
    standin: StandIn
    server_version = "arxtune-groq-standin"

    def do_GET(self) -> None:  # noqa: N802  # the name that the base class looks for
        self._send(self._route("GET", b""))

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.endswith("/chat/completions"):
            self._send(self._route("POST", body))
            return
        standin, name = self.standin, hashlib.sha256(body).hexdigest()
        fault = standin.fault(name)
        kind, _, argument = fault.partition(":")
        pause = standin.latency
        if kind == "slow":
            pause += float(argument)
        time.sleep(pause)
        if kind == "reset" or self._gone():
            standin.requests.append(0)
            self.reset()
            return
        reply = self._route("POST", body, fault)
        standin.requests.append(reply.status)
        with contextlib.suppress(ConnectionError):
            self._send(reply, cut=kind == "cut")
            if reply.tokens and kind not in ("cut", "garbage"):
                standin.charge(name, reply)

    def _route(self, method: str, body: bytes, fault: str = "") -> Reply:
        """Return the answer to a request."""
        standin, path = self.standin, self.path.partition("?")[0].partition("/v1")[2]
        kind, _, argument = fault.partition(":")
        if self.headers.get("Authorization") != f"Bearer {standin.key}" or kind == "401":
            return standin.error(401, "Invalid API Key", code="invalid_api_key")
        if kind.isdigit():
            return standin.error(int(kind), f"Stand-in fault {kind}.", argument)
        parts = path.strip("/").split("/")
        try:
            match method, *parts:
                case "POST", "chat", "completions":
                    reply = standin.answer(json.loads(body), fault)
                    if kind == "garbage":
                        reply = reply._replace(body=b"<html>no JSON")
                    return reply
                case "GET", "models":
                    rows = [{"id": one.model, "context_window": one.context} for one in ranked()]
                    return Reply(200, {"object": "list", "data": rows})
                case "POST", "files":
                    return standin.take(body, self.headers["Content-Type"])
                case "GET", "files", name, "content":
                    return Reply(200, standin.files[name])
                case "POST", "batches":
                    return standin.order(json.loads(body))
                case "GET", "batches":
                    return Reply(200, {"object": "list", "data": list(standin.batches.values())})
                case "GET", "batches", name:
                    return standin.look(name)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            return standin.error(400, f"Bad request: {error!r}")
        return standin.error(404, f"Unknown request URL: {method} {path}", code="unknown_url")

    def _send(self, reply: Reply, *, cut: bool = False) -> None:
        body = reply.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(reply.status)
        size = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for header, value in {**size, **reply.headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if cut:
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)
        self.wfile.flush()

    def _gone(self) -> bool:
        """Tell whether the client has hung up while it waited."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""


def count(text: str) -> int:
    """Return the tokens that the stand-in counts for a text."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def duration(seconds: float) -> str:
    """Return seconds as Groq writes them: 2m59.56s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.4g}s"


def account_limits(name: str) -> dict[str, int]:
    """Return the limits of a plan, by Groq's names; those that it has not are left out."""
    account = vars(plan(name))
    return {limit: account[field] for limit, field in LIMITS.items() if account[field]}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m components.generate.standin",
        description="A stand-in for Groq, on loopback.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8080, help="0 means any free one")
    add("--plan", choices=("free", "developer"), help="limits of a plan")
    add("--minute", type=float, default=60.0, help="seconds that a minute takes")
    add("--latency", type=float, default=0.3, help="seconds before an answer")
    add("--faults", default="", help="faults of the first requests, by comma")
    add("--fault-rate", type=float, default=0.0, help="share of other tries that fail")
    add("--seed", type=int, default=0, help="of the faults")
    add("--bill", type=Path, help="file for one line a request that was paid for")
    given = vars(parser.parse_args())
    name = given.pop("plan")
    given["limits"] = account_limits(name) if name else {}
    given["faults"] = list(filter(None, given["faults"].split(",")))
    with StandIn(**given) as standin, contextlib.suppress(KeyboardInterrupt):
        print(f"stand-in for Groq at {standin.url}, key {KEY}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
