"""The knobs of the promote stage."""

from dataclasses import dataclass
from typing import ClassVar

from components.shared.config import StageConfig, knob


@dataclass(frozen=True, kw_only=True)
class PromoteConfig(StageConfig):
    """Under which name a release is published."""

    stage: ClassVar[str] = "promote"

    release: str = knob(
        "arxtune", "name of the release that the adapter competes for", exposed=True
    )
    merge: bool = knob(
        False, "also write base and adapter merged into one model, beside the release"
    )
    push_to: str = knob(
        "", "repository on the Hugging Face Hub to push the release to, owner/name; needs HF_TOKEN"
    )
