"""The answers of the model systems: base, tuned and champion from one load of the base, adapters switched.

Answers are kept in the store under evaluations/<hash of what they depend on>.json, so that a run that was killed, or
is repeated, generates nothing twice; when none is missing no model is loaded at all.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import Generation, generate
from components.evaluate.verdict import BASE, CHAMPION, TUNED
from components.shared.errors import DataError, StoreError
from components.shared.progress import Progress, say
from components.shared.records import Example, digest
from components.shared.store import Store, release_log


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What finetune wrote to adapter.json, as far as the evaluation needs it; `about` holds all of it."""

    folder: Path
    base: str
    base_path: str  # of a base that was made here, relative to the folder; otherwise empty
    trained: bool
    adapter_digest: str
    about: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The last release, when it can be compared with."""

    version: int
    adapter_digest: str
    prefix: str  # of its folder in the store


def read_adapter(folder: Path) -> Adapter:
    """Read adapter.json; raise DataError when it is missing or lacks a field."""
    path = folder / "adapter.json"
    try:
        about = {"base_path": "", "adapter_digest": "", **json.loads(path.read_text("utf-8"))}
        fields = {name: about[name] for name in ("base", "base_path", "trained", "adapter_digest")}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "run finetune first") from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path.name}: not what finetune writes ({error})", "run finetune again") from None
    return Adapter(folder=folder, about=about, **fields)


def find_champion(store: Store, release: str, adapter: Adapter) -> tuple[Champion | None, list[str]]:
    """Return the release to beat, if any, and what a reader has to know when there is one that is not compared."""
    entry = store.latest(release_log(release))
    if entry is None:
        return None, [f"There is no release '{release}' yet: the tuned model has only the base and the nulls to beat."]
    named = f"Version {entry['version']} of release '{release}'"
    if entry["base"] != adapter.base:
        return None, [f"{named} is of another base ({entry['base']}) and was not compared."]
    if entry["adapter_digest"] == adapter.adapter_digest:
        return None, [f"This adapter is already released as version {entry['version']} of '{release}'."]
    fields = {name: entry[name] for name in ("version", "adapter_digest", "prefix")}
    return Champion(**fields), [f"{named} is the champion that the tuned model has to beat."]


def answers_key(config: EvaluateConfig, base: str, adapter_digest: str, examples: Sequence[Example]) -> str:
    """Return the key of a system's answers; the base itself has the digest "base"."""
    prompts = [example.prompt for example in examples]
    return f"evaluations/{digest([base, adapter_digest, prompts, config.max_new_tokens, config.quantisation])}.json"


def model_answers(
    config: EvaluateConfig, store: Store, examples: Sequence[Example], adapter: Adapter, champion: Champion | None
) -> dict[str, list[Generation]]:
    """Return the answers of base, tuned and champion, in the order of `examples`."""
    digests = {BASE: "base", TUNED: adapter.adapter_digest}
    if champion:
        digests[CHAMPION] = champion.adapter_digest
    answers: dict[str, list[Generation]] = {}
    with tempfile.TemporaryDirectory(prefix="arxtune-evaluate-") as scratch:
        models = _Models(config, store, adapter, champion, Path(scratch))
        for name, system in digests.items():
            key = answers_key(config, adapter.about.get("base_identity", adapter.base), system, examples)
            rows = store.get_json(key)
            if rows is None:
                rows = models.answer(name, [example.prompt for example in examples])
                store.put_json(key, rows)
            else:
                say("evaluate", f"{name}: {len(rows)} answers from the store")
            answers[name] = [Generation(*row) for row in rows]
    return answers


class _Models:
    """The base with its adapters; nothing is loaded before the first answer is wanted."""

    def __init__(
        self, config: EvaluateConfig, store: Store, adapter: Adapter, champion: Champion | None, scratch: Path
    ) -> None:
        self.config, self.store, self.adapter, self.champion, self.scratch = config, store, adapter, champion, scratch
        self.tokenizer: Any = None
        self.model: Any = None

    def answer(self, system: str, prompts: Sequence[str]) -> list[list[Any]]:
        """Return [text, tokens, stopped] of one system for each prompt."""
        if self.model is None:
            self._load()
        progress = Progress("evaluate", f"answers of {system}", len(prompts))
        with self._switched_to(system):
            found = generate(
                self.model,
                self.tokenizer,
                list(prompts),
                self.config.max_new_tokens,
                self.config.batch_size,
                lambda count: progress.step(count=count),
            )
        return [[answer.text, answer.tokens, answer.stopped] for answer in found]

    def _load(self) -> None:
        from components.shared.models import attach_adapter, load_base, load_tokenizer

        folder = self.adapter.folder
        base = str(folder / self.adapter.base_path) if self.adapter.base_path else self.adapter.base
        say("evaluate", f"loading {self.adapter.base}")
        self.tokenizer = load_tokenizer(base)
        self.model = attach_adapter(load_base(base, self.config.quantisation), folder / "weights", TUNED)
        self.model.eval()

    @contextlib.contextmanager
    def _switched_to(self, system: str) -> Iterator[None]:
        if system == BASE:
            with self.model.disable_adapter():
                yield
            return
        if system == CHAMPION and CHAMPION not in self.model.peft_config:
            self.model.load_adapter(str(self._champion_weights()), adapter_name=CHAMPION)
        self.model.set_adapter(system)
        yield

    def _champion_weights(self) -> Path:
        assert self.champion is not None, "nobody asks for the champion's answers when there is none"
        if not self.store.get_folder(self.champion.prefix, self.scratch):
            raise StoreError(
                f"{self.champion.prefix} is named by the release log but is not whole in the store",
                "release another version, or restore its files",
            )
        return self.scratch / "weights"
