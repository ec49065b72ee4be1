"""What a check looks at, and what it says.

`off` is what is not set up and not needed for what was asked: no cluster is named, or no key for a hosted teacher.
"""

import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

HTTP_SECONDS = 2.0


@dataclass(frozen=True)
class Surroundings:
    """Where to look; an empty address means that this is not used."""

    home: str = ".arxtune"
    store: str = ""
    host: str = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    namespace: str = "kubeflow"
    context: str = ""
    image: str = ""  # registry.example/team/llm:0.1.0
    teacher_url: str = "https://api.groq.com"
    teacher_model: str = "llama-3.3-70b-versatile"
    hub_url: str = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    base_model: str = "meta-llama/Meta-Llama-3-8B"


@dataclass(frozen=True)
class Finding:
    """What a check found: `ok`, `fail` or `off`, in words, and what to do about it."""

    state: str
    detail: str
    fix: str = ""


class Unanswered(Exception):
    """The other side cannot be reached; the message says why."""


def http(
    url: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, bytes, Any]:
    """Return status, body and headers; raise Unanswered where there is no answer at all."""
    request = urllib.request.Request(url, headers=headers or {}, method=method)  # noqa: S310  addresses of the user's own
    try:
        with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(1 << 20), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(1 << 16), error.headers
    except (OSError, ssl.SSLError, ValueError) as error:
        raise Unanswered(str(getattr(error, "reason", None) or error)) from None
