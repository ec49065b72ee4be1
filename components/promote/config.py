"""The knobs of the promote stage."""

import re
from typing import ClassVar

from pydantic import field_validator

from components.shared.config import WithStore, knob
from components.shared.names import safe_name

REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


class PromoteConfig(WithStore):
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

    @field_validator("release")
    @classmethod
    def _is_name(cls, value: str) -> str:
        return safe_name(value, "promote.release")

    @field_validator("push_to")
    @classmethod
    def _is_repository(cls, value: str) -> str:
        if value and not REPOSITORY.fullmatch(value):
            raise ValueError("owner/name, of letters, digits, '.', '_' and '-'")
        return value
