"""The knobs of the promote stage."""

from typing import ClassVar

from components.shared.config import WithStore, knob


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
