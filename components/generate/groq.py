"""A Llama teacher on Groq, or on any server that speaks its protocol. The key comes from GROQ_API_KEY alone."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.generate.limits import seconds
from components.generate.teacher import Payload, Reply, Request
from components.shared.errors import ConfigError, TeacherError
from components.shared.licences import model_licence
from components.shared.records import digest

PROMPT = Path(__file__).with_name("prompt.txt").read_text("utf-8")
GROQ = "https://api.groq.com/openai/v1"
STRICT = (
    "openai/gpt-oss-",
    "meta-llama/llama-4-",
    "moonshotai/kimi-k2",
)  # models that can be held to a JSON schema
_TEXT = {"type": "string"}
_TRIPLE = {"instruction": _TEXT, "input": _TEXT, "output": _TEXT}
SCHEMA = {
    "type": "object",
    "properties": {
        "triples": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": _TRIPLE,
                "required": list(_TRIPLE),
                "additionalProperties": False,
            },
        }
    },
    "required": ["triples"],
    "additionalProperties": False,
}


class Busy(Exception):
    """The teacher asks to slow down (429): its message, and the seconds it says to wait if it does."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unwell(Exception):
    """The teacher failed in a way that passes: 5xx, no capacity, a timeout, a broken connection or answer."""


class TooLarge(Exception):
    """The teacher takes no request of this size (413)."""


class GroqTeacher:
    """Asks one model, at temperature 0, about one page at a time. Safe to use from many threads."""

    paid = True

    def __init__(
        self, model: str, url: str = "", max_answer_tokens: int = 2048, timeout: float = 120.0
    ) -> None:
        self._key = os.environ.get("GROQ_API_KEY", "").strip()
        if not self._key:
            raise TeacherError(
                "the teacher is Groq, but GROQ_API_KEY is not set", "set it, or --teacher embedded"
            )
        if not self._key.isascii() or not self._key.isprintable():
            raise TeacherError(
                "GROQ_API_KEY holds characters that no key has", "set it again, without line breaks"
            )
        from groq import Groq

        self._url = endpoint(url)
        # Retries are ours: they share what they learn, and none is made that the limits forbid.
        self._client = Groq(api_key=self._key, base_url=self._url, max_retries=0, timeout=timeout)
        self._model, self._max_tokens = model, max_answer_tokens
        self._structured = True  # until the model says that it takes no response_format
        self.name = f"groq/{model}"
        self.licence = model_licence(model)
        self.prompt_hash = digest([PROMPT, model, max_answer_tokens])

    def payload(self, request: Request) -> Payload:
        """Return the body of the HTTP request."""
        strict = self._model.startswith(STRICT)
        schema = {"type": "json_schema", "json_schema": {"name": "triples", "schema": SCHEMA}}
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": f"{PROMPT}{request.text}"}],
            "temperature": 0,
            "max_completion_tokens": self._max_tokens,
            "response_format": schema if strict else {"type": "json_object"},
            "seed": request.seed,
        }

    def again(self, payload: Payload, reply: Reply) -> Payload:
        """Return the request without the constraint on its form, with another seed and more room if it was cut."""
        room = payload["max_completion_tokens"] * (2 if reply.cut else 1)
        free = {name: value for name, value in payload.items() if name != "response_format"}
        return {**free, "seed": payload["seed"] + 1, "max_completion_tokens": room}

    def ask(self, payload: Payload) -> Reply:
        """Return the model's answer; see `ask_once` for what is raised."""
        return self.ask_once(payload)[0]

    def ask_once(self, payload: Payload) -> tuple[Reply, Mapping[str, str]]:
        """Send one request and return its answer and headers.

        Raises Busy, Unwell or TooLarge for what may pass, TeacherError for what asking again would not mend.
        """
        import groq
        import httpx

        body = {
            name: value
            for name, value in payload.items()
            if self._structured or name != "response_format"
        }
        try:
            response = self._client.post("/chat/completions", body=body, cast_to=httpx.Response)
            return _reply(response.content), response.headers
        except groq.APIStatusError as error:
            if found := _failed_generation(error):
                return found, error.response.headers
            raise self._verdict(error, payload) from None
        except (groq.APIConnectionError, httpx.HTTPError) as error:
            cause = error.__cause__ or error
            raise Unwell(f"cannot be reached ({type(cause).__name__})") from None
        except (KeyError, IndexError, TypeError, ValueError):
            raise Unwell("answers what is no chat completion") from None

    def _verdict(self, error: Any, payload: Payload) -> Exception:
        """Return what a status means for us."""
        status, message = error.status_code, self._clean(_message(error))
        match status:
            case 401 | 403:
                return TeacherError(f"the teacher refuses the key ({status})", "check GROQ_API_KEY")
            case 404:
                return TeacherError(
                    f"the teacher at {self._url} has no model {self._model!r} (404)",
                    "name another by --teacher-model",
                )
            case 413:
                return TooLarge(message)
            case 429:
                return Busy(message, seconds(error.response.headers.get("retry-after", "")))
            case 400 if "response_format" in payload and "response_format" in message:
                self._structured = False
                return Unwell("takes no response_format")
            case _ if status >= 498 or status == 408:
                return Unwell(f"answers {status}")
        return TeacherError(
            f"the teacher refuses the request ({status}): {message[:200]}",
            "all answers so far are kept",
        )

    def _clean(self, text: str) -> str:
        """Return a text of the server's without the key, should it repeat it."""
        return text.replace(self._key, "[key]")


def endpoint(url: str) -> str:
    """Return the base URL: Groq's when empty, and its path where the address names none."""
    if not url:
        return GROQ
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"generate.teacher_url={url!r}: must begin with http:// or https:// and name a host"
        )
    if parts.username or parts.password:
        raise ConfigError(
            "generate.teacher_url: holds a user name or password",
            "keys come from GROQ_API_KEY alone",
        )
    return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/openai/v1"


def _reply(body: bytes) -> Reply:
    answer = json.loads(body)
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    return Reply(
        text=choice["message"]["content"] or "",
        prompt_tokens=int(usage.get("prompt_tokens", 0)),
        completion_tokens=int(usage.get("completion_tokens", 0)),
        cut=choice.get("finish_reason") == "length",
    )


def _failed_generation(error: Any) -> Reply | None:
    """Return what the model wrote when Groq refuses it for not being JSON (400, json_validate_failed)."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    text = inner.get("failed_generation") if isinstance(inner, dict) else None
    return Reply(str(text)) if error.status_code == 400 and text else None


def _message(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    return str(inner.get("message", "")) if isinstance(inner, dict) else str(inner)
