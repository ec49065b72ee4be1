"""A teacher on Groq, or on any server that speaks OpenAI's protocol.

Groq's key comes from GROQ_API_KEY, another server's from ARXTUNE_TEACHER_KEY; many need none.
See https://console.groq.com/docs/api-reference.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.generate.budget import most_prompt_tokens
from components.generate.config import GROQ, GenerateConfig
from components.generate.teacher import Payload, Reply, Request
from components.shared.errors import TeacherError
from components.shared.http import Client, FetchError, Outcome, Response, outcome_of, retry_after
from components.shared.names import environment
from components.shared.progress import say
from components.shared.records import CLOSED, OPEN, digest
from components.shared.teachers import AUTO, ranked, teacher
from components.shared.text import clean, clean_line, finite

PROMPT = Path(__file__).with_name("prompt.txt").read_text("utf-8").strip()
REASONING_ROOM = 1024  # tokens beside the answer's: at low effort a model seldom takes half of it
MAX_BYTES = 8 * 2**20  # of one answer; the longest has 65,536 tokens
MIN_SECRET = 8  # characters of a key that is looked for in what a server says
CHECK_KEY = "check GROQ_API_KEY, or ARXTUNE_TEACHER_KEY for another server"
MAX_WAIT_S = 30 * 86_400.0  # that a Retry-After may ask for
OPTIONAL = ("response_format", "reasoning_effort", "include_reasoning", "seed", "temperature")
LENGTHS = {"max_completion_tokens", "max_tokens"}
TEXT_PARTS = ("text", "output_text")
FAILED_FORM = ("json_validate_failed", "tool_use_failed")  # the model wrote something else
_FORMAT = re.compile(r"response.?formats?|json.?schema|structured.?outputs?", re.IGNORECASE)


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with these properties alone, as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_KIND = {"type": "string", "enum": [OPEN, CLOSED]}
TRIPLE = _closed({"kind": _KIND, "instruction": _TEXT, "input": _TEXT, "output": _TEXT})
SCHEMA = _closed({"triples": {"type": "array", "items": TRIPLE}})
STRICT = {
    "type": "json_schema",
    "json_schema": {"name": "triples", "strict": True, "schema": SCHEMA},
}


class GroqTeacher:
    """Asks one model about one page at a time. Safe to use from many threads."""

    def __init__(self, config: GenerateConfig) -> None:
        self._config, self.url = config, config.endpoint
        key = _key(self.url)
        # A key as short as a word is nobody's secret; taking it out would damage answers.
        self._secret = key if len(key) >= MIN_SECRET else ""
        headers = {"User-Agent": "arxtune/0.1"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = Client(headers)
        self._unsupported: set[str] = set()  # fields that the model takes no offence without
        self.served = self._list_models()
        self.model = self._choose(config.teacher_model)
        self.facts = teacher(self.model)
        self._longest = self.facts.longest_answer or 2**31  # tokens; learned where it is not known
        self.name, self.licence = f"groq/{self.model}", self.facts.licence
        self.prompt_hash = digest([PROMPT, self.model, config.max_answer_tokens])

    def payload(self, request: Request) -> Payload:
        """Return the body of the HTTP request; what never changes comes first, to be cached."""
        page = digest(request.text)[:12]  # no page can hold its own hash
        quoted = f"<page {page}>\n{request.text}\n</page {page}>"
        body: Payload = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": PROMPT},
                {"role": "user", "content": quoted},
            ],
            "temperature": 0,
            "seed": request.seed,
            "max_completion_tokens": self._config.max_answer_tokens,
            "response_format": {"type": "json_object"},
        }
        if self.facts.schema == "strict":
            body["response_format"] = STRICT
        if self.facts.reasoning_effort:
            body["max_completion_tokens"] += REASONING_ROOM
            body["reasoning_effort"] = self.facts.reasoning_effort
            body["include_reasoning"] = False
        return body

    def again(self, payload: Payload, reply: Reply) -> Payload | None:
        """Return the request with more room if the answer was cut, else without a set form."""
        other = dict(payload)
        if not reply.cut:
            other.pop("response_format", None)
            other["seed"] += 1
            return other
        other["max_completion_tokens"] = min(2 * payload["max_completion_tokens"], self._longest)
        return other if other["max_completion_tokens"] > payload["max_completion_tokens"] else None

    def send(self, payload: Payload) -> tuple[Reply, Mapping[str, str]]:
        """Send one request; return its answer and headers, or raise as `read` does."""
        while True:
            body = {name: value for name, value in payload.items() if name not in self._unsupported}
            body["max_completion_tokens"] = min(body["max_completion_tokens"], self._longest)
            response = self.fetch("/chat/completions", json.dumps(body).encode())
            if not self._learns(response, body):
                return self.read(response, body), response.headers

    def fetch(
        self,
        path: str,
        content: bytes = b"",
        *,
        kind: str = "application/json",
        max_bytes: int = MAX_BYTES,
    ) -> Response:
        """Ask the server; redirects are answers, for no page may be sent where nobody named it."""
        return self._client.fetch(
            self.url + path,
            method="POST" if content else "GET",
            content=content or None,
            headers={"Content-Type": kind},
            deadline_s=self._config.answer_deadline_s,
            max_bytes=max_bytes,
        )

    def read(self, response: Response, payload: Payload) -> Reply:
        """Return the answer that a response holds.

        Raises FetchError with RETRY for what may pass and with SKIP for what this page's request
        meets alone, and TeacherError for what every request will.
        """
        status = response.status
        if status == 200:
            try:
                return _reply(self.decode(response.body), payload)
            except (KeyError, IndexError, TypeError, AttributeError):
                problem = "answers what is no chat completion"
                raise FetchError(problem, Outcome.RETRY, http_status=status) from None
        code, message, error = self._error(response)
        written = error.get("failed_generation")
        if status == 400 and isinstance(written, str) and written.strip():
            return _reply_of(clean(written), {}, payload)
        if status in (400, 422) and ("failed_generation" in error or code in FAILED_FORM):
            return Reply("", problem="the answer failed in its form")
        if status == 401:
            raise TeacherError("the teacher refuses the key (401)", CHECK_KEY)
        if status == 404 or code in ("model_decommissioned", "model_not_found"):
            raise self._gone(self.model, f" ({status})")
        if 300 <= status < 400:
            there = clean_line(response.headers.get("Location", "another address"))[:200]
            problem = f"the teacher at {self.url} redirects to {there}"
            raise TeacherError(problem, "name that by teacher_url")
        raise FetchError(
            f"answers {status}",
            outcome_of(status),
            message[:300],
            after_s=retry_after(response.headers, MAX_WAIT_S),
            http_status=status,
        )

    def decode(self, body: bytes) -> Any:
        """Return a body as JSON; None when it is none."""
        try:
            return json.loads(self._text(body))
        except (ValueError, RecursionError):
            return None

    def _text(self, body: bytes) -> str:
        """Return a body without the key, should the server repeat it."""
        text = body.decode("utf-8", "replace")
        return text.replace(self._secret, "[key]") if self._secret else text

    def _error(self, response: Response) -> tuple[str, str, dict[str, Any]]:
        """Return an error's code, its message and all of its fields."""
        error = self.decode(response.body)
        if isinstance(error, dict):
            error = error.get("error", error)
        if not isinstance(error, dict):
            error = {"message": error}
        message = str(error.get("message") or self._text(response.body))[:500]
        return str(error.get("code", "")), clean_line(message), error

    def _learns(self, response: Response, sent: Payload) -> bool:
        """Learn from a refusal a field to leave out, or the longest answer; tell whether it did."""
        if response.status not in (400, 422):
            return False
        code, message, error = self._error(response)
        if code in FAILED_FORM or "failed_generation" in error:
            return False
        named = {str(error.get("param")), *re.findall(r"\w+", message)}
        if _FORMAT.search(message):
            named.add("response_format")
        longest = min(map(int, re.findall(r"\b\d{2,7}\b", message)), default=0)
        if named & LENGTHS and 64 <= longest < sent["max_completion_tokens"]:
            self._longest = min(self._longest, longest)
            return True
        for field in OPTIONAL:
            if field in named and field in sent:
                self._unsupported.add(field)
                return True
        return False

    def _list_models(self) -> list[str]:
        """Return the ids of the models that are served; none where the server does not tell."""
        try:
            response = self.fetch("/models")
        except FetchError:
            return []
        if response.status == 401:
            raise TeacherError("the teacher refuses the key (401)", CHECK_KEY)
        body = self.decode(response.body)
        if response.status != 200 or not isinstance(body, dict):
            return []
        found = []
        for row in body.get("data") or ():
            if isinstance(row, dict) and isinstance(row.get("id"), str):
                found.append(clean_line(row["id"]))
        return sorted(found)

    def _choose(self, wanted: str) -> str:
        """Return the model to ask, which the server lists as far as it lists any."""
        if wanted != AUTO:
            if self.served and not {wanted, f"{wanted}:latest"} & set(self.served):
                raise self._gone(wanted)
            return wanted
        for facts in ranked():
            if facts.model in self.served:
                say("generate", f"teacher_model=auto: {facts.model} ({facts.licence})")
                return facts.model
        raise TeacherError(
            f"teacher_model=auto: the teacher at {self.url} lists none of the known models",
            f"name one by --teacher-model{self._some_served()}",
        )

    def _gone(self, model: str, status: str = "") -> TeacherError:
        facts = teacher(model)
        problem = f"the teacher at {self.url} has no model {model!r}{status}"
        if facts.retired_on:
            problem += f", retired on {facts.retired_on}"
        other = facts.replaced_by
        if other not in self.served:
            other = next((name for name in self.served if teacher(name).output), other or AUTO)
        return TeacherError(
            problem, f"name another by --teacher-model {other}{self._some_served()}"
        )

    def _some_served(self) -> str:
        return f" (served: {', '.join(self.served[:12])})" if self.served else ""


def _key(url: str) -> str:
    """Return the key for a server: Groq's goes to Groq and to this machine alone."""
    if url == GROQ:
        key = environment("GROQ_API_KEY")
        if not key:
            raise TeacherError(
                "the teacher is Groq, but GROQ_API_KEY is not set", "set it, or --teacher embedded"
            )
    else:
        key = environment("ARXTUNE_TEACHER_KEY")
        if not key and _on_loopback(url):
            key = environment("GROQ_API_KEY")
    if not key.isascii():
        raise TeacherError("the teacher's key holds characters that no key has", "set it again")
    return key


def _on_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reply(answer: Any, payload: Payload) -> Reply:
    """Read a chat completion; raise LookupError, TypeError or AttributeError for others."""
    choice = answer["choices"][0]
    message, finish = choice["message"], choice.get("finish_reason")
    text = clean(_content(message.get("content")))
    cut, problem = finish == "length", ""
    if finish == "content_filter":
        text, problem = "", "withheld by the teacher's content filter"
    elif not text.strip():
        thoughts = message.get("reasoning") or message.get("reasoning_content")
        if cut and ("reasoning_effort" in payload or thoughts):
            problem = "cut while it reasoned"
        elif cut:
            problem = "cut before it began"
        elif isinstance(message.get("refusal"), str):
            problem = "refused by the teacher"
        else:
            problem = "empty answer"
    return _reply_of(text, answer.get("usage"), payload, cut=cut, problem=problem)


def _content(content: object) -> str:
    """Return the text of a message: a text, or a list of parts of which some are text."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError("content is neither text nor parts")
    text = ""
    for part in content:
        if not isinstance(part, dict):
            text += part
        elif part.get("type", "text") in TEXT_PARTS:
            text += part["text"]
    return text


def _reply_of(
    text: str, usage: object, payload: Payload, *, cut: bool = False, problem: str = ""
) -> Reply:
    """Return a reply with the tokens told, or the most that is possible where none are."""
    told = usage if isinstance(usage, dict) else {}
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    most, longest = most_prompt_tokens(payload), payload["max_completion_tokens"]
    prompt = finite(told.get("prompt_tokens"), most // 16, most)
    prompt = most if prompt is None else prompt
    completion = finite(told.get("completion_tokens"), len(text) // 16, longest)
    completion = longest if completion is None else completion
    cached = finite(cached, 0, prompt) or 0
    return Reply(text, int(prompt), int(completion), int(cached), cut, problem)
