"""The knobs of the generate stage."""

from dataclasses import dataclass
from typing import ClassVar

from components.shared.config import StageConfig, knob


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(StageConfig):
    """Which teacher is asked, and about which pages."""

    stage: ClassVar[str] = "generate"

    teacher: str = knob(
        "groq", "groq (needs GROQ_API_KEY) or embedded (no key)", exposed=True, choices=("groq", "embedded")
    )
    teacher_model: str = knob("llama-3.3-70b-versatile", "model that Groq is asked for", exposed=True)
    teacher_url: str = knob("", "another address that speaks Groq's protocol; empty means Groq itself")
    max_answer_tokens: int = knob(2048, "longest answer of the teacher, in tokens", low=64)
    min_page_characters: int = knob(400, "pages with less text are not asked about", low=1)
    max_page_characters: int = knob(12_000, "characters of a page that the teacher is shown at most", low=400)
    max_pages_per_paper: int = knob(0, "pages asked about in one paper; 0 means all", low=0)
