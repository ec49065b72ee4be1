"""Lay out a release: the adapter as Hugging Face expects it, what a user must know of it, and the
hash of every file.

adapter_model.safetensors, adapter_config.json, tokenizer files   loaded by
PeftModel.from_pretrained
README.md, LICENSE, NOTICE                                        model card, terms, attributions
verdict.json, adapter.json, lineage.jsonl, sources.jsonl          what it rests on
trained_papers.json                                               what its weights have seen
base/                                                             a base that was made on the spot
SHA256SUMS                                                        for `sha256sum --check`

Once SHA256SUMS is written no file changes. Two things are added beside: release.json, which the
list cannot hold because it names the list, and merged/, which has a list of its own.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.promote import card
from components.promote.config import REPOSITORY
from components.shared import manifest
from components.shared.bases import card_name, is_local
from components.shared.errors import DataError
from components.shared.licences import Obligation, named
from components.shared.records import (
    Adapter,
    Source,
    file_digest,
    read_records,
    write_atomically,
)
from components.shared.releases import TRAINED, Release, history, papers_trained_on
from components.shared.store import Store
from components.shared.verdict import BASE, BETTER, TUNED, Verdict

SEPARATE = "merged"
TOKENIZER_FILES = (
    *("tokenizer*", "special_tokens_map.json", "chat_template*"),
    *("vocab.*", "merges.txt", "added_tokens.json"),
)


def lay_out(
    store: Store, release: str, train: Path, adapter: Path, evaluation: Path, folder: Path
) -> tuple[Release, str | None]:
    """Fill `folder`; return the log entry, without its place, and the champion's digest."""
    about = Adapter.read(adapter)
    verdict = Verdict.read(evaluation / "verdict.json")
    if verdict.word != BETTER:
        raise DataError(
            f"the verdict is {verdict.word!r}", f"only an adapter that is {BETTER!r} is promoted"
        )
    weights = adapter / "weights" / "adapter_model.safetensors"
    if not weights.is_file() or file_digest(weights) != about.adapter_digest:
        raise DataError(f"{weights}: not the weights that adapter.json names", "train it again")
    if verdict.adapter_digest != about.adapter_digest:
        raise DataError("the verdict is about another adapter", "evaluate this one first")
    sources = list(read_records(train / "sources.jsonl", Source))
    duties_file = train / "obligations.jsonl"
    duties = list(read_records(duties_file, Obligation)) if duties_file.exists() else []
    _copy_adapter(adapter, about, folder)
    copied = [evaluation / "verdict.json", train / "sources.jsonl", duties_file]
    for path in copied:
        if path.exists():
            shutil.copy(path, folder / path.name)
    papers = {source.paper for source in sources} | _seen_before(store, release, about)
    write_atomically(folder / TRAINED, json.dumps(sorted(papers)))
    name = named(release, duties)
    public = replace(about, base=card_name(about.base))  # never a path of this machine
    hub_id = about.base.partition("@")[0]
    on_hub = REPOSITORY.fullmatch(hub_id) and not (about.base_path or is_local(about.base))
    lora = _json(folder / "adapter_config.json")
    loads = hub_id if on_hub else "./base"
    text = card.model_card(name, public, verdict, sources, duties, loads, lora)
    write_atomically(folder / "README.md", text)
    write_atomically(folder / "NOTICE", card.notice(name, public, sources, duties))
    write_atomically(folder / "LICENSE", card.licence(name, public, duties))
    tuned, gain = verdict.system(TUNED), verdict.against(BASE)
    entry = Release(
        version=0,
        prefix="",
        manifest="",
        sums="",
        adapter_digest=about.adapter_digest,
        base=about.base,
        name=name,
        train_digest=about.train_digest,
        dataset_digest=verdict.dataset_digest,
        rouge_l=tuned.rougeL if tuned else None,
        gain=gain.difference if gain else None,
    )
    champion = verdict.champion
    return entry, str(champion["adapter_digest"]) if champion else None


def seal(folder: Path) -> str:
    """Write the list of a folder's files, after which none may change; return the list's digest."""
    manifest.write(folder)
    return file_digest(folder / manifest.NAME)


def check_files(folder: Path, sums: str = "") -> int:
    """Return how many files are as SHA256SUMS says; raise DataError naming those that are not, or
    are too many.

    `sums` is the digest of SHA256SUMS itself, by default the one that release.json beside it
    gives.
    """
    beside = folder / "release.json"
    if not sums and beside.exists():
        sums = Release.from_dict(_json(beside), beside.name).sums
    if sums and file_digest(folder / manifest.NAME) != sums:
        raise DataError(f"changed since it was released: {folder / manifest.NAME}")
    problems = []
    for problem in manifest.problems(folder):
        _, _, name = problem.partition(": ")
        if problem != "added: release.json" and not name.startswith(f"{SEPARATE}/"):
            problems.append(problem)
    if (folder / SEPARATE).is_dir():
        problems += manifest.problems(folder / SEPARATE)
    if problems:
        raise DataError(f"{folder}: not as it was released: {', '.join(problems)}")
    return len(manifest.read(folder))


def _seen_before(store: Store, release: str, adapter: Adapter) -> set[str]:
    """Return the papers that the release which training went on from was trained on."""
    for entry in history(store, release):
        if adapter.continued_from and entry.adapter_digest == adapter.continued_from:
            return papers_trained_on(store, entry)
    return set()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path.name}: not JSON ({error})") from None


def _copy_adapter(adapter: Path, about: Adapter, folder: Path) -> None:
    """Copy weights to the top, and name the base as people know it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (adapter / "weights").iterdir():
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
        text = {**_json(settings), "base_model_name_or_path": card_name(about.base)}
        write_atomically(settings, json.dumps(text, indent=2, sort_keys=True) + "\n")
