"""The knobs of the generate stage."""

import contextlib
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from components.shared.config import WithForecast, WithOwnPapers, WithSeed, WithStore, knob
from components.shared.errors import ConfigError
from components.shared.licences import allowed_names
from components.shared.teachers import Kind

GROQ = "https://api.groq.com/openai/v1"


class GenerateConfig(WithStore, WithSeed, WithForecast, WithOwnPapers):
    """Which teacher is asked, about which pages, and what that may cost."""

    stage: ClassVar[str] = "generate"

    teacher: Kind = knob("groq", "groq (needs GROQ_API_KEY) or embedded (no key)", exposed=True)
    teacher_model: str = knob(
        "openai/gpt-oss-120b",
        "model that is asked for; auto takes the best known one that is served",
        exposed=True,
    )
    allow_licences: str = knob(
        "open", "licences of papers that may be asked about: see curate", exposed=True
    )
    base_model: str = knob(
        "meta-llama/Meta-Llama-3-8B",
        "model that will learn: its terms must allow the teacher's answers",
        exposed=True,
    )
    teacher_url: str = knob(
        "", "base URL of another server of OpenAI's protocol; its key, if any: ARXTUNE_TEACHER_KEY"
    )
    teacher_mode: Literal["live", "batch"] = knob(
        "live", "live, or batch: Groq's Batch API, at half the price, within batch_hours"
    )
    teacher_plan: Literal["auto", "free", "developer"] = knob(
        "auto",
        "the account's limits; auto learns from the first answer; free asks one day's budget",
    )
    max_dollars: float = knob(
        5.0, "dollars that a run may pay, a hard cap; 0 means no cap", low=0, high=1e6
    )
    max_tokens_total: int = knob(
        0, "tokens that a run may pay for, a hard cap; 0 means no cap", low=0
    )
    max_answer_tokens: int = knob(
        2048, "longest answer of the teacher, in tokens, without its reasoning", low=64, high=65_536
    )
    min_page_characters: int = knob(400, "pages with less text are not asked about", low=1)
    max_page_characters: int = knob(
        12_000, "characters of a page that the teacher is shown at most", low=400, high=400_000
    )
    max_pages_per_paper: int = knob(0, "pages asked about in one paper; 0 means all", low=0)
    requests_per_minute: int = knob(
        0, "requests-per-minute limit; 0 means infer it from responses", low=0
    )
    max_in_flight: int = knob(64, "requests under way at the same time at most", low=1, high=512)
    answer_deadline_s: float = knob(
        120.0, "seconds that one answer may take, all in all", low=0.1, high=3600
    )
    retries: int = knob(8, "retries per page on transient errors", low=0, high=100)
    backoff_s: float = knob(
        1.0, "seconds before the first such retry; doubled with each further one", low=0, high=60
    )
    batch_hours: int = knob(24, "hours that a batch may take", low=24, high=168)
    batch_poll_s: float = knob(30.0, "seconds between two looks at a batch", low=0.05, high=3600)

    @property
    def allowed(self) -> frozenset[str]:
        """Return the names of the paper licences that are let in."""
        return allowed_names(self.allow_licences)

    @property
    def endpoint(self) -> str:
        """Return the base URL; Groq's when none is named, with Groq's path where it has none."""
        url = self.teacher_url.rstrip("/") or GROQ
        return url if urlsplit(url).path else f"{url}/openai/v1"

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        valid, secret = not self.teacher_url, ""
        with contextlib.suppress(ValueError):
            parts = urlsplit(self.teacher_url)
            secret = f"{parts.username or ''}{parts.password or ''}"
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                valid = True
        if secret or not valid:
            raise ConfigError(
                "generate.teacher_url: must be http(s)://host[:port][/path], without a password",
                "keys come from GROQ_API_KEY and ARXTUNE_TEACHER_KEY alone",
            )
        return self
