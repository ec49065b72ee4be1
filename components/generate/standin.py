"""A stand-in for Groq: python -m components.generate.standin --help.

It speaks the real protocol over real HTTP, keeps real limits (token buckets for requests and tokens a minute and a day,
with Groq's headers), fails on demand, and writes a bill. Its tasks are the embedded teacher's. The minute can be made
short.

Faults come by schedule, one a request, or by seed: then the n-th try of a request meets the same fault in every run.

    401 404 413 498 500 503       that status           429, 429:2          too many requests; with Retry-After
    reset                         broken connection     cut                 half of the body, then the end
    slow:2                        2 s, then as usual    garbage             200 with a body that is no JSON
    prose                         an answer without triples                 length       an answer cut in its middle
    shape:NAME                    the triples in one of the shapes of shapes.py
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
from components.generate.groq import PROMPT
from components.generate.limits import Bucket
from components.generate.shapes import SHAPES
from components.generate.teacher import Request
from components.generate.triples import parse
from components.shared.loopback import LoopbackServer, QuickHandler

KEY = "gsk_stand_in"  # what the stand-in takes as a key when none is named
MODELS = ("llama-3.3-70b-versatile", "llama-3.1-8b-instant", "openai/gpt-oss-120b")
PASSING = (
    "429",
    "429:0.05",
    "498",
    "500",
    "503",
    "reset",
    "cut",
    "garbage",
    "prose",
    "length",
    "413",
    "slow:0.05",
)
NAMES = {
    "RPM": "requests per minute",
    "RPD": "requests per day",
    "TPM": "tokens per minute",
    "TPD": "tokens per day",
}
CHARACTERS_A_TOKEN = 4


class Reply(NamedTuple):
    """Status, body, further headers, and the tokens to book when the body has left."""

    status: int
    body: bytes
    headers: dict[str, str]
    tokens: int = 0


class StandIn(LoopbackServer):
    """Serve on loopback while the `with` block lasts. `requests` and `bill` tell what happened.

    A request is on the bill once its answer has left whole: what a client breaks off before that is not charged.
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
        shape: str = "object",
        key: str = KEY,
        port: int = 0,
        bill: Path | None = None,
    ) -> None:
        self.latency, self.fault_rate, self.seed, self.shape, self.key = (
            latency,
            fault_rate,
            seed,
            shape,
            key,
        )
        self.faults = list(faults)
        self.requests: list[int] = []  # statuses in order, 0 for a reset
        self.bill: list[tuple[str, int]] = []  # hash of the request, tokens
        self.busy = self.most_busy = 0
        self.started = self.ended = 0.0
        self._bill_file, self._tries = bill, Counter[str]()
        now = time.monotonic()
        self._buckets = {
            name: Bucket(limit, limit, limit / (minute * (1 if name[2] == "M" else 1440)), now)
            for name, limit in (limits or {}).items()
        }
        self.lock = threading.Lock()
        super().__init__(type("Handler", (_Handler,), {"standin": self}), port)

    def charge(self, name: str, tokens: int) -> None:
        """Put a request on the bill."""
        with self.lock:
            self.bill.append((name, tokens))
            self.ended = time.monotonic()
            if self._bill_file:
                with self._bill_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"request": name, "tokens": tokens}) + "\n")

    def fault(self, name: str) -> str:
        """Return what the next try of a request meets, or ""."""
        with self.lock:
            self._tries[name] += 1
            if self.faults:
                return self.faults.pop(0)
            chance = random.Random(f"{self.seed}:{name}:{self._tries[name]}")
            return chance.choice(PASSING) if chance.random() < self.fault_rate else ""

    def answer(self, body: dict[str, Any], fault: str) -> Reply:
        """Return the reply to a valid request that met no fault of its transport."""
        prompt = str(body["messages"][-1]["content"])
        asked = count(prompt)
        most = int(body.get("max_completion_tokens") or 1024)
        if refused := self._admit(body["model"], asked + most):
            return refused
        text = self._text(prompt.removeprefix(PROMPT), fault)
        cut = count(text) > most or fault == "length"
        text = (
            text[: len(text) * 2 // 3] if fault == "length" else text[: most * CHARACTERS_A_TOKEN]
        )
        spent = asked + count(text)
        with self.lock:
            for bucket in (bucket for name, bucket in self._buckets.items() if name[0] == "T"):
                bucket.level = min(bucket.limit, bucket.level + asked + most - spent)
        answer = {
            "id": "chatcmpl-standin",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "length" if cut else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": count(text),
                "total_tokens": spent,
            },
        }
        return Reply(200, json.dumps(answer).encode(), self.headers(), spent)

    def _text(self, page: str, fault: str) -> str:
        if fault == "prose":
            return "I am sorry, but there is nothing on this page that I could make a task of."
        teacher = EmbeddedTeacher()
        request = Request(paper="stand-in", version=1, page=1, text=page, seed=0)
        drafts = parse(teacher.ask(teacher.payload(request)).text) or []
        shape = fault.partition(":")[2] if fault.startswith("shape:") else self.shape
        return SHAPES[shape](drafts) if drafts else '{"triples": []}'

    def _admit(self, model: str, tokens: int) -> Reply | None:
        """Take a request's share of each limit, or refuse it as Groq does and take nothing."""
        with self.lock:
            now = time.monotonic()
            self.started = self.started or now
            needs = {name: tokens if name[0] == "T" else 1 for name in self._buckets}
            for name, bucket in self._buckets.items():
                told = f"on {NAMES[name]} ({name}): Limit {bucket.limit:.0f}, "
                if needs[name] > bucket.limit:
                    told += (
                        f"Requested {needs[name]}, please reduce your message size and try again."
                    )
                    return self.error(413, f"Request too large for model `{model}` {told}")
                wait = bucket.wait(needs[name], now)
                if wait > 0:
                    told += f"Used {bucket.limit - bucket.level:.0f}, Requested {needs[name]}. "
                    told += f"Please try again in {wait:.4g}s."
                    return self.error(
                        429, f"Rate limit reached for model `{model}` {told}", f"{wait:.4g}"
                    )
            for name, bucket in self._buckets.items():
                bucket.level -= needs[name]
        return None

    def headers(self) -> dict[str, str]:
        """Return Groq's headers: the requests are those of a day, the tokens those of a minute."""
        found, now = {}, time.monotonic()
        with self.lock:
            for name, kind in (("RPD", "requests"), ("TPM", "tokens")):
                if bucket := self._buckets.get(name):
                    found[f"x-ratelimit-limit-{kind}"] = f"{bucket.limit:.0f}"
                    found[f"x-ratelimit-remaining-{kind}"] = f"{max(0.0, bucket.now(now)):.0f}"
                    found[f"x-ratelimit-reset-{kind}"] = duration(
                        (bucket.limit - bucket.level) / bucket.rate
                    )
        return found

    def error(self, status: int, message: str, retry_after: str = "") -> Reply:
        """Return an error as Groq writes it."""
        body = {
            "error": {
                "message": message,
                "type": "invalid_request_error",
                "code": f"stand_in_{status}",
            }
        }
        return Reply(
            status, json.dumps(body).encode(), {"Retry-After": retry_after} if retry_after else {}
        )


class _Handler(QuickHandler):
    standin: StandIn
    server_version = "arxtune-groq-standin"

    def do_POST(self) -> None:  # noqa: N802  # the name that the base class looks for
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = hashlib.sha256(body).hexdigest()
        fault = self.standin.fault(name)
        kind, _, argument = fault.partition(":")
        with self.standin.lock:
            self.standin.busy += 1
            self.standin.most_busy = max(self.standin.most_busy, self.standin.busy)
        try:
            time.sleep(self.standin.latency + (float(argument) if kind == "slow" else 0))
            if kind == "reset" or self._gone():
                self._record(0)
                self.reset()
                return
            reply = self._reply(body, fault, kind, argument)
            self._record(reply.status)
            with contextlib.suppress(ConnectionError):
                self._send(reply, cut=kind == "cut")
                if reply.tokens and kind not in ("cut", "garbage"):
                    self.standin.charge(name, reply.tokens)
        finally:
            with self.standin.lock:
                self.standin.busy -= 1

    def _reply(self, raw: bytes, fault: str, kind: str, argument: str) -> Reply:
        standin = self.standin
        if self.headers.get("Authorization") != f"Bearer {standin.key}" or kind == "401":
            return standin.error(401, "Invalid API Key")
        if kind.isdigit():
            return standin.error(int(kind), f"Stand-in fault {kind}.", argument)
        try:
            asked = json.loads(raw)
            if not self.path.endswith("/v1/chat/completions") or asked["model"] not in MODELS:
                return standin.error(404, f"The model `{asked['model']}` does not exist.")
            reply = standin.answer(asked, fault)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return standin.error(400, f"Bad request: {error!r}")
        return reply._replace(body=b"<html>no JSON</html>") if kind == "garbage" else reply

    def _send(self, reply: Reply, *, cut: bool) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        for header, value in reply.headers.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def _gone(self) -> bool:
        """Tell whether the client has hung up while it waited."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _record(self, status: int) -> None:
        with self.standin.lock:
            self.standin.requests.append(status)


def count(text: str) -> int:
    """Return the tokens that the stand-in counts for a text."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def duration(seconds: float) -> str:
    """Return seconds as Groq writes them: 2m59.56s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.4g}s" if minutes else f"{rest:.4g}s"


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m components.generate.standin",
        description="A stand-in for Groq, on loopback.",
    )
    parser.add_argument(
        "--port", type=int, default=8080, help="0 means any free one (default: 8080)"
    )
    for name, words in NAMES.items():
        parser.add_argument(
            f"--{name.lower()}",
            type=int,
            default=0,
            metavar="N",
            help=f"{words} (default: no limit)",
        )
    parser.add_argument(
        "--minute", type=float, default=60.0, help="seconds that a minute takes (default: 60)"
    )
    parser.add_argument(
        "--latency", type=float, default=0.3, help="seconds before an answer (default: 0.3)"
    )
    parser.add_argument("--faults", default="", help="faults of the first requests, by comma")
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="share of other tries that fail (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--shape", choices=sorted(SHAPES), default="object", help="of the answers (default: object)"
    )
    parser.add_argument("--bill", type=Path, help="file for one line a request that was paid for")
    given = vars(parser.parse_args())
    limits = {name: value for name in NAMES if (value := given.pop(name.lower()))}
    faults = [fault for fault in given.pop("faults").split(",") if fault]
    with (
        StandIn(limits=limits, faults=faults, **given) as standin,
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(f"stand-in for Groq at {standin.url}, key {KEY}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
