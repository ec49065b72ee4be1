"""The knobs of the extract stage."""

from typing import ClassVar

from components.shared.config import StageConfig, knob


class ExtractConfig(StageConfig):
    """How long a PDF may take, and what text is good enough."""

    stage: ClassVar[str] = "extract"

    deadline_s: float = knob(120.0, "seconds that reading one PDF may take", low=0.1)
    memory_mib: int = knob(500, "MiB of address space that reading one PDF may take", low=128)
    max_pages: int = knob(200, "pages read of one PDF; later ones are left out and counted", low=1)
    min_quality: float = knob(0.5, "lowest share of readable words of a paper", low=0, high=1)
    min_page_quality: float = knob(
        0.4, "the same of a page; others are not asked about", low=0, high=1
    )
    processes: int = knob(0, "PDFs read at the same time; 0 means one for each core", low=0)
