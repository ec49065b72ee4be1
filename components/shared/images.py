"""The images of the stages: python -m components.shared.images [scrape|data|llm] names them.

A tag ends in a hash of what its image is made from. Changed code or requirements are another tag,
another version of the pipeline, and another pull on every node; the rest keeps its name.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).parents[2]
# Both are read where the pipeline is compiled.
PREFIX = os.environ.get("ARXTUNE_IMAGES") or "arxtune"  # registry and project
RELEASE = os.environ.get("ARXTUNE_TAG") or VERSION
STAGES_OF = {  # in the order of the pipeline
    "scrape": ("scrape",),  # Chromium
    "data": ("extract", "generate", "curate"),
    "llm": ("finetune", "evaluate", "promote"),
}
LEFT_OUT = {"__pycache__", "standin"}  # of the code, as images/Dockerfile does


def name_of(image: str) -> str:
    """Return registry and project, name, release and the hash of the content of an image."""
    hashed = hashlib.sha256()
    for path in _files(image):
        hashed.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    for line in _pinned():
        hashed.update(line.encode())
    return f"{PREFIX}/{image}:{RELEASE}-{hashed.hexdigest()[:10]}"


def warn_without_registry() -> None:
    """Say so where the names of the images lead to no registry."""
    if "/" not in PREFIX:
        print(
            f"images    {PREFIX}/...: in no registry, so nodes find only what they were given; "
            "set ARXTUNE_IMAGES=REGISTRY/PROJECT, then make images push",
            file=sys.stderr,
        )


def _files(image: str) -> Iterator[Path]:
    """Yield what goes into an image, in an order of its own."""
    for part in ("shared", *STAGES_OF[image]):
        for path in sorted((ROOT / "components" / part).rglob("*")):
            if path.is_file() and not LEFT_OUT & set(path.relative_to(ROOT).parts):
                yield path
    for name in ("Dockerfile", f"{image}/requirements.txt", f"{image}/packages.txt"):
        if (ROOT / "images" / name).is_file():  # not beside an installed package
            yield ROOT / "images" / name


def _pinned() -> list[str]:
    """Return the versions of what goes into an image without being in its requirements."""
    path = ROOT / "constraints.txt"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [line for line in lines if line.startswith(("kfp==", "torch=="))]


SCRAPE, DATA, LLM = (name_of(image) for image in STAGES_OF)

if __name__ == "__main__":
    print(*(name_of(image) for image in sys.argv[1:] or STAGES_OF), sep="\n")
