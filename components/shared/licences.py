"""Licences that go by a model's name."""

import re


def model_licence(model: str) -> str:
    """Return the licence that a model, and what it writes, comes under; "unknown" when its name does not tell.

    Llama 3 outputs may train only Llama models; from 3.1 on any model, whose name then has to start with "Llama"
    (the community licences of Llama 3, 3.1 and 3.3, section 1.b).
    """
    found = re.search(r"llama-?(3(?:\.\d)?)(?!\d)", model.lower())
    return f"llama{found.group(1)}" if found else "unknown"
