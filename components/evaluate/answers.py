"""The answers of the model systems: base, tuned and champion from one load of the base, adapters switched.

Each batch of answers goes into the store as it is made, under evaluations/<hash of the system>/ by the hash of its
prompts: a run that was killed, or is repeated, or meets test examples of an earlier one, generates nothing twice. When
nothing is missing no model is loaded at all.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.evaluate.batches import BatchSize
from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import Generation, Loss, generate, losses
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
        raise DataError(
            f"{path.name}: not what finetune writes ({error})", "run finetune again"
        ) from None
    return Adapter(folder=folder, about=about, **fields)


def find_champion(
    store: Store, release: str, adapter: Adapter
) -> tuple[Champion | None, list[str]]:
    """Return the release to beat, if any, and what a reader has to know when there is one that is not compared."""
    entry = store.latest(release_log(release))
    if entry is None:
        return None, [
            f"There is no release '{release}' yet: the tuned model has only the base and the nulls to beat."
        ]
    named = f"Version {entry['version']} of release '{release}'"
    if entry["base"] != adapter.base:
        return None, [f"{named} is of another base ({entry['base']}) and was not compared."]
    if entry["adapter_digest"] == adapter.adapter_digest:
        return None, [
            f"This adapter is already released as version {entry['version']} of '{release}'."
        ]
    fields = {name: entry[name] for name in ("version", "adapter_digest", "prefix")}
    return Champion(**fields), [f"{named} is the champion that the tuned model has to beat."]


def system_key(config: EvaluateConfig, base: str, adapter_digest: str) -> str:
    """Return the place of all that a system has answered; the base itself has the digest "base"."""
    return (
        f"evaluations/{digest([base, adapter_digest, config.max_new_tokens, config.quantisation])}"
    )


class Kept:
    """What a model made at some cost, in the store under names of its own; each batch is one object."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.prefix = store, prefix
        self.rows: dict[str, list[Any]] = {}
        for key in store.list(prefix):
            self.rows |= store.get_json(key)

    def add(self, rows: Mapping[str, list[Any]]) -> None:
        """Store a batch; once this returns, no crash loses it."""
        self.store.put_json(f"{self.prefix}/{digest(sorted(rows))[:32]}.json", rows)
        self.rows |= rows


@dataclass(frozen=True)
class ModelAnswers:
    """What the model systems answered, and how surprising base and tuned find the references; in examples' order."""

    answers: dict[str, list[Generation]] = field(default_factory=dict)
    losses: dict[str, list[Loss]] = field(default_factory=dict)


def model_answers(
    config: EvaluateConfig,
    store: Store,
    examples: Sequence[Example],
    adapter: Adapter,
    champion: Champion | None,
) -> ModelAnswers:
    """Return the answers of base, tuned and champion, and the losses of base and tuned."""
    digests = {BASE: "base", TUNED: adapter.adapter_digest}
    if champion:
        digests[CHAMPION] = champion.adapter_digest
    identity = adapter.about.get("base_identity", adapter.base)
    made = ModelAnswers()
    with tempfile.TemporaryDirectory(prefix="arxtune-evaluate-") as scratch:
        models = _Models(config, store, adapter, champion, Path(scratch))
        for system, system_digest in digests.items():
            place = system_key(config, identity, system_digest)
            made.answers[system] = models.answer(system, Kept(store, f"{place}/answers"), examples)
            if system != CHAMPION:
                made.losses[system] = models.losses(
                    system, Kept(store, f"{place}/losses"), examples
                )
    return made


class _Models:
    """The base with its adapters; nothing is loaded before the first answer is wanted."""

    def __init__(
        self,
        config: EvaluateConfig,
        store: Store,
        adapter: Adapter,
        champion: Champion | None,
        scratch: Path,
    ) -> None:
        self.config, self.store, self.adapter, self.champion, self.scratch = (
            config,
            store,
            adapter,
            champion,
            scratch,
        )
        self.batch = BatchSize(config.batch_size)
        self.tokenizer: Any = None
        self.model: Any = None

    def answer(self, system: str, kept: Kept, examples: Sequence[Example]) -> list[Generation]:
        """Return one system's answer to each example; only those that are not kept yet are generated."""
        names = {digest(example.prompt)[:32]: example.prompt for example in examples}
        missing = [name for name in names if name not in kept.rows]
        with self._making(f"answers of {system}", system, len(names), len(missing)) as progress:

            def keep(made: Mapping[int, Generation]) -> None:
                kept.add(
                    {missing[place]: [x.text, x.tokens, x.stopped] for place, x in made.items()}
                )
                progress.step(count=len(made))

            if missing:
                prompts = [names[name] for name in missing]
                generate(
                    self.model,
                    self.tokenizer,
                    prompts,
                    self.config.max_new_tokens,
                    self.batch,
                    keep,
                )
        return [Generation(*kept.rows[digest(example.prompt)[:32]]) for example in examples]

    def losses(self, system: str, kept: Kept, examples: Sequence[Example]) -> list[Loss]:
        """Return the loss of each example's reference; only those that are not kept yet are computed."""
        pairs = {digest([example.prompt, example.completion])[:32]: example for example in examples}
        missing = [name for name in pairs if name not in kept.rows]
        with self._making(f"losses of {system}", system, len(pairs), len(missing)) as progress:

            def keep(made: Mapping[int, Loss]) -> None:
                kept.add({missing[place]: [x.total, x.tokens] for place, x in made.items()})
                progress.step(count=len(made))

            if missing:
                texts = [(pairs[name].prompt, pairs[name].completion) for name in missing]
                losses(self.model, self.tokenizer, texts, self.batch, keep)
        return [
            Loss(*kept.rows[digest([example.prompt, example.completion])[:32]])
            for example in examples
        ]

    @contextlib.contextmanager
    def _making(self, what: str, system: str, wanted: int, missing: int) -> Iterator[Progress]:
        """Have the model ready, as `system`, while something is missing."""
        if missing < wanted:
            say("evaluate", f"{what}: {wanted - missing} from the store")
        progress = Progress("evaluate", what, missing)
        if not missing:
            yield progress
            return
        if self.model is None:
            self._load()
        with self._switched_to(system):
            yield progress

    def _load(self) -> None:
        from components.shared.models import attach_adapter, load_base, load_tokenizer

        folder = self.adapter.folder
        base = str(folder / self.adapter.base_path) if self.adapter.base_path else self.adapter.base
        say("evaluate", f"loading {self.adapter.base}")
        self.tokenizer = load_tokenizer(base)
        self.model = attach_adapter(
            load_base(base, self.config.quantisation), folder / "weights", TUNED
        )
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
        assert self.champion is not None, (
            "nobody asks for the champion's answers when there is none"
        )
        if not self.store.get_folder(self.champion.prefix, self.scratch):
            raise StoreError(
                f"{self.champion.prefix} is named by the release log but is not whole in the store",
                "release another version, or restore its files",
            )
        weights = self.scratch / "weights"  # of releases before the adapter lay at the top
        return weights if weights.is_dir() else self.scratch
