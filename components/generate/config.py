"""The knobs of the generate stage."""

from typing import ClassVar, Literal

from components.shared.config import WithForecast, WithSeed, WithStore, knob


class GenerateConfig(WithStore, WithSeed, WithForecast):
    """Which teacher is asked, and about which pages."""

    stage: ClassVar[str] = "generate"

    teacher: Literal["groq", "embedded"] = knob(
        "groq",
        "groq (needs GROQ_API_KEY) or embedded (no key)",
        exposed=True,
    )
    teacher_model: str = knob(
        "llama-3.3-70b-versatile", "model that Groq is asked for", exposed=True
    )
    teacher_url: str = knob(
        "", "base URL of another server that speaks OpenAI's protocol; empty means Groq"
    )
    max_answer_tokens: int = knob(2048, "longest answer of the teacher, in tokens", low=64)
    min_page_characters: int = knob(400, "pages with less text are not asked about", low=1)
    max_page_characters: int = knob(
        12_000, "characters of a page that the teacher is shown at most", low=400
    )
    max_tokens_total: int = knob(
        0, "tokens that a run may pay for, a hard cap; 0 means no cap", low=0
    )
    requests_per_minute: int = knob(
        0, "the teacher's limit, where it does not tell; 0 means learn it", low=0
    )
    max_in_flight: int = knob(64, "requests under way at the same time at most", low=1, high=512)
    answer_deadline_s: float = knob(120.0, "seconds that one answer may take", low=0.1)
    retries: int = knob(
        8, "how often one page is asked about again after failures that pass", low=0
    )
    backoff_s: float = knob(
        1.0, "seconds before the first such retry; doubled with each further one", low=0
    )
    max_pages_per_paper: int = knob(0, "pages asked about in one paper; 0 means all", low=0)
