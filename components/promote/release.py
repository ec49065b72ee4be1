"""Lay out a release: the adapter as Hugging Face expects it, what a user must know of it, and the hash of every file.

adapter_model.safetensors, adapter_config.json, tokenizer files   loaded by PeftModel.from_pretrained
README.md, LICENSE, NOTICE                                        model card, terms, attributions
verdict.json, adapter.json, lineage.jsonl, sources.jsonl          what it rests on
base/                                                             a base that was made on the spot
SHA256SUMS                                                        for `sha256sum --check`
"""

import json
import shutil
from pathlib import Path
from typing import Any

from components.promote import card
from components.shared.errors import DataError
from components.shared.licences import Obligation, named
from components.shared.records import Source, file_digest, read_records, write_atomically

SUMS = "SHA256SUMS"
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
)


def lay_out(
    release: str, train: Path, adapter: Path, evaluation: Path, folder: Path
) -> dict[str, Any]:
    """Fill `folder` with the release and return its entry for the log, without version and place."""
    about: dict[str, Any] = read_json(adapter / "adapter.json", "run finetune again")
    verdict: dict[str, Any] = read_json(evaluation / "verdict.json", "run evaluate again")
    if verdict["word"] != "better":
        raise DataError(
            f"the verdict is {verdict['word']!r}", "only an adapter that is 'better' is promoted"
        )
    if verdict["adapter_digest"] != about["adapter_digest"]:
        raise DataError("the verdict is about another adapter", "evaluate this one first")
    sources = list(read_records(train / "sources.jsonl", Source))
    duties_file = train / "obligations.jsonl"
    duties = list(read_records(duties_file, Obligation)) if duties_file.exists() else []
    _copy_adapter(adapter, about, folder)
    for path in (
        evaluation / "verdict.json",
        evaluation / "lineage.jsonl",
        train / "sources.jsonl",
        duties_file,
    ):
        if path.exists():
            shutil.copy(path, folder / path.name)
    name = named(release, duties)
    write_atomically(folder / "README.md", card.model_card(name, about, verdict, sources, duties))
    write_atomically(folder / "NOTICE", card.notice(name, about, sources, duties))
    write_atomically(folder / "LICENSE", card.licence(name, about, duties))
    write_sums(folder)
    return {
        "name": name,
        "adapter_digest": about["adapter_digest"],
        "base": about["base"],
        "train_digest": about["train_digest"],
        "dataset_digest": verdict.get("dataset_digest", ""),
        "verdict": verdict["word"],
        "sums": file_digest(folder / SUMS),
    }


def read_json(path: Path, fix: str) -> Any:
    """Read a JSON file; raise DataError saying `fix` when it is missing or no JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", fix) from None
    except ValueError as error:
        raise DataError(f"{path.name}: not JSON ({error})", fix) from None


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every other file of a folder, in the form that sha256sum writes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS)
    lines = [f"{file_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    write_atomically(folder / SUMS, "".join(lines))


def check_files(folder: Path, sums: str = "") -> int:
    """Return how many files are as SHA256SUMS says; raise DataError naming those that are not.

    `sums` is the digest of SHA256SUMS itself, by default the one that release.json beside it gives.
    """
    entry = folder / "release.json"
    sums = sums or (read_json(entry, "promote again")["sums"] if entry.exists() else "")
    try:
        text = (folder / SUMS).read_text("utf-8")
    except FileNotFoundError:
        raise DataError(
            f"{folder / SUMS} does not exist", "not a release, or one without its hashes"
        ) from None
    if sums and file_digest(folder / SUMS) != sums:
        raise DataError(f"changed since it was released: {folder / SUMS}")
    lines = (line.partition("  ") for line in text.splitlines())
    wanted = {name: value for value, _, name in lines}
    changed = [
        name
        for name, value in wanted.items()
        if not (folder / name).is_file() or file_digest(folder / name) != value
    ]
    if changed:
        raise DataError(
            f"changed since it was released: {', '.join(str(folder / name) for name in changed)}"
        )
    return len(wanted)


def _copy_adapter(adapter: Path, about: dict[str, Any], folder: Path) -> None:
    """Copy weights to the top, with the base named as people know it rather than by a path of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = adapter / "weights"
    for path in weights.iterdir():
        if path.is_file() and path.name != "README.md":  # peft's card is an empty form
            shutil.copy(path, folder / path.name)
    base = adapter / "base"
    if base.is_dir():
        shutil.copytree(base, folder / "base", dirs_exist_ok=True)
        for pattern in TOKENIZER_FILES:
            for path in base.glob(pattern):
                shutil.copy(path, folder / path.name)
    for name in ("adapter.json", "steps.jsonl"):
        if (adapter / name).exists():
            shutil.copy(adapter / name, folder / name)
    settings = folder / "adapter_config.json"
    if settings.exists():
        text = {
            **read_json(settings, "run finetune again"),
            "base_model_name_or_path": about["base"],
        }
        write_atomically(settings, json.dumps(text, indent=2, sort_keys=True) + "\n")
