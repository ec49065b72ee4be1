"""The answers of the model systems: base, tuned and champion from one load of the base, adapters
switched.

Each batch of answers goes into the store as it is made, under evaluations/<hash of the system>/ by
the hash of its prompts: a run that was killed, or is repeated, or meets test examples of an earlier
one, generates nothing twice. When nothing is missing no model is loaded at all.
"""

import contextlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from components.evaluate.champion import weights_of
from components.evaluate.config import EvaluateConfig
from components.evaluate.generation import BatchSize, Generation, Loss, Made, generate, losses
from components.shared.progress import Progress, say
from components.shared.records import Adapter, Example, digest
from components.shared.releases import Release
from components.shared.store import Store
from components.shared.subset import spread
from components.shared.verdict import BASE, CHAMPION, TUNED

UNASKED = Generation("", 0, False)  # of plain text, whose loss alone is measured
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


def system_key(config: EvaluateConfig, base: str, adapter_digest: str) -> str:
    """Return the place of all that a system has answered; the base itself has the digest "base".

    It names what "auto" became on this machine: an answer in another precision, or of another
    version of the libraries, is another answer.
    """
    from components.shared.models import chosen_quantisation, device

    versions = {name: _version(name) for name in LIBRARIES}
    how = [chosen_quantisation(config.quantisation), device(), versions]
    return f"evaluations/{digest([base, adapter_digest, config.max_new_tokens, how])}"


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


class AnswerCache:
    """What a model made at some cost, kept in the store; each batch is one object."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.prefix = store, prefix
        self.rows: dict[str, list[Any]] = {}
        for key in store.list(prefix):
            self.rows |= store.get_json(key) or {}  # what is damaged is made again

    def add(self, rows: Mapping[str, list[Any]]) -> None:
        """Store a batch; once this returns, no crash loses it."""
        self.store.put_json(f"{self.prefix}/{digest(sorted(rows))[:32]}.json", rows)
        self.rows |= rows


@dataclass(frozen=True)
class ModelAnswers:
    """What the models answered, and their losses on the references; in examples' order."""

    answers: dict[str, list[Generation]] = field(default_factory=dict)
    losses: dict[str, list[Loss | None]] = field(default_factory=dict)
    probes: dict[str, list[tuple[Generation, Loss | None]]] = field(default_factory=dict)


def model_answers(
    config: EvaluateConfig,
    store: Store,
    examples: Sequence[Example],
    folder: Path,
    adapter: Adapter,
    champion: Release | None,
    probes: Sequence[Example] = (),
) -> ModelAnswers:
    """Return the answers and losses of base, tuned and champion; `folder` is the adapter's.

    Only base and tuned meet the probes; one that is plain text is not answered. Of the examples a
    sample has its loss measured, None stands for the others.
    """
    digests = {BASE: "base", TUNED: adapter.adapter_digest}
    if champion:
        digests[CHAMPION] = champion.adapter_digest
    made, count = ModelAnswers(), len(examples)
    measured_on = {row.triple for row in spread(examples, config.sample // 2)}
    unmeasured = {row.triple for row in examples} - measured_on
    with tempfile.TemporaryDirectory(prefix="arxtune-evaluate-") as scratch:
        models = _Models(config, store, folder, adapter, champion, Path(scratch) / "champion")
        for system, system_digest in digests.items():
            place = system_key(config, adapter.base_identity or adapter.base, system_digest)
            rows = [*examples] if system == CHAMPION else [*examples, *probes]
            asked = [row for row in rows if row.prompt]
            plain = [row for row in rows if not row.prompt]
            answers = iter(models.answers(system, AnswerCache(store, f"{place}/answers"), asked))
            texts = [next(answers) if row.prompt else UNASKED for row in rows]
            # Apart: plain text needs the logits of all its tokens, a reference those of a few.
            cache = AnswerCache(store, f"{place}/losses")
            losses: dict[str, Loss] = {}
            for side in ([row for row in asked if row.triple not in unmeasured], plain):
                found = models.losses(system, cache, side)
                losses |= {row.triple: loss for row, loss in zip(side, found, strict=True)}
            measured = [losses.get(row.triple) for row in rows]
            made.answers[system], made.losses[system] = texts[:count], measured[:count]
            if system != CHAMPION:
                made.probes[system] = list(zip(texts[count:], measured[count:], strict=True))
    return made


@dataclass
class _Models:
    """The base with its adapters; nothing is loaded before the first answer is wanted."""

    config: EvaluateConfig
    store: Store
    folder: Path
    adapter: Adapter
    champion: Release | None
    scratch: Path
    tokenizer: Any = None
    model: Any = None

    def answers(
        self, system: str, cache: AnswerCache, examples: Sequence[Example]
    ) -> list[Generation]:
        """Return one system's answer to each example; only missing ones are generated."""
        keys = [digest(example.prompt)[:32] for example in examples]

        def make(places: Sequence[int]) -> Iterator[dict[int, Generation]]:
            prompts = [examples[place].prompt for place in places]
            batch, longest = BatchSize(self.config.batch_size), self.config.max_new_tokens
            return generate(self.model, self.tokenizer, prompts, longest, batch)

        self._complete("answers", system, cache, keys, make)
        return [Generation(*cache.rows[key]) for key in keys]

    def losses(self, system: str, cache: AnswerCache, examples: Sequence[Example]) -> list[Loss]:
        """Return the loss of each example's reference; only missing ones are computed."""
        keys = [digest([example.prompt, example.completion])[:32] for example in examples]

        def make(places: Sequence[int]) -> Iterator[dict[int, Loss]]:
            pairs = [(examples[place].prompt, examples[place].completion) for place in places]
            return losses(self.model, self.tokenizer, pairs, BatchSize(self.config.batch_size))

        self._complete("losses", system, cache, keys, make)
        return [Loss(*cache.rows[key]) for key in keys]

    def _complete(
        self,
        what: str,
        system: str,
        cache: AnswerCache,
        keys: Sequence[str],
        make: Callable[[Sequence[int]], Iterator[dict[int, Made]]],
    ) -> None:
        """Make what the cache lacks; `make` gets places of examples and yields what it made, by
        the place in that list."""
        missing: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key not in cache.rows:
                missing.setdefault(key, place)
        if known := len(set(keys)) - len(missing):
            say("evaluate", f"{what} of {system}: {known} from the store")
        if not missing:
            return
        names = list(missing)
        progress = Progress("evaluate", f"{what} of {system}", len(missing))
        if self.model is None:
            self._load()
        with self._switched_to(system):
            for made in make(list(missing.values())):
                cache.add({names[number]: list(astuple(item)) for number, item in made.items()})
                progress.step(count=len(made))

    def _load(self) -> None:
        from components.shared.models import attach_adapter, load_base, load_tokenizer

        base = self.adapter.base
        if self.adapter.base_path:
            base = str(self.folder / self.adapter.base_path)
        say("evaluate", f"loading {self.adapter.base}")
        self.tokenizer = load_tokenizer(base)
        self.model = attach_adapter(
            load_base(base, self.config.quantisation), self.folder / "weights", TUNED
        )
        self.model.eval()

    @contextlib.contextmanager
    def _switched_to(self, system: str) -> Iterator[None]:
        if system == BASE:
            with self.model.disable_adapter():
                yield
            return
        if system == CHAMPION and CHAMPION not in self.model.peft_config:
            from components.shared.models import attach_adapter

            assert self.champion is not None, "only a champion that exists answers"
            folder = weights_of(self.store, self.champion, self.scratch)
            attach_adapter(self.model, folder, CHAMPION).eval()
        self.model.set_adapter(system)
        yield
