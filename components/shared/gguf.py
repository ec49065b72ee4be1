"""Unpack a GGUF into a transformers folder: `python -m components.shared.gguf FILE FOLDER`.

A process of its own, because it needs twice the model's memory for half a minute. Weights become
float32, whatever they were quantised to; what the file says of itself becomes the folder's card.
"""

import json
import sys
from pathlib import Path
from typing import Any

CARD = {"license": "general.license", "name": "general.name", "author": "general.organization"}


def unpack(source: Path, folder: Path) -> None:
    """Write config, tokenizer, safetensors and card into `folder`."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, file = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype="float32"
    )
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(_card(source), "utf-8")


def _card(source: Path) -> str:
    from gguf import GGUFReader

    fields = GGUFReader(str(source)).fields
    card: dict[str, Any] = {}
    for name, key in CARD.items():
        if key in fields:
            card[name] = fields[key].contents()
    lines = [f"{name}: {json.dumps(value)}" for name, value in card.items()]
    return "\n".join(["---", *lines, "---", "", f"Unpacked from {source.name}.", ""])


if __name__ == "__main__":
    try:
        unpack(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # a file from outside: whatever is wrong with it, one line
        text = " ".join(str(error).split()) or type(error).__name__
        sys.exit(f"{type(error).__name__}: {text[:300]}")
