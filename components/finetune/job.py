"""One training, named by the hash of all that its weights depend on: from examples to an adapter in the store."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.finetune import processes
from components.finetune.base import Base
from components.finetune.config import TINY, FinetuneConfig
from components.shared.errors import DataError, ModelError, StoreError
from components.shared.progress import say
from components.shared.records import Example, digest, file_digest, write_atomically
from components.shared.store import Store, release_log

if TYPE_CHECKING:
    from components.finetune.trainer import Material

LIBRARIES = ("torch", "transformers", "trl", "peft")
# Knobs that do not change what is trained. The base and the release to go on from have identities of their own. Where
# it is trained, on which device and in how many processes, changes what dropout draws and how finely the base is
# held; adapter.json tells.
NOT_OF_THE_WEIGHTS = (
    "store",
    "base_model",
    "continue_from",
    "checkpoint_minutes",
    "processes",
    "nodes",
    "sharding",
)
STORE_PATIENCE = 300.0  # seconds that the store may be away when a trained adapter is put there


@dataclass(frozen=True)
class Job:
    """A training that is to be done; `start` is the release's entry whose adapter it goes on from."""

    config: FinetuneConfig
    store: Store
    base: Base
    examples: Sequence[Example]
    start: Mapping[str, Any] | None = None

    @cached_property
    def train_digest(self) -> str:
        """Return the hash of the examples."""
        return digest([example.to_dict() for example in self.examples])

    @cached_property
    def key(self) -> str:
        """Return the hash of everything that the trained weights depend on."""
        knobs = {
            name: value
            for name, value in self.config.to_dict().items()
            if name not in NOT_OF_THE_WEIGHTS
        }
        versions = {name: version(name) for name in LIBRARIES}
        start = self.start["adapter_digest"] if self.start else ""
        return digest([knobs, self.base.identity, self.train_digest, start, versions])

    @property
    def place(self) -> str:
        """Return where in the store the adapter is put."""
        return f"adapters/{self.key}"

    def run(self) -> None:
        """Train, and put the adapter into the store; its checkpoints are of no use any more then."""
        from components.finetune.checkpoints import Checkpoints, keep_trying
        from components.finetune.trainer import train

        checkpoints = Checkpoints(self.store, self.key)
        with processes.shared_folder("arxtune-finetune-") as scratch:
            out = scratch / "adapter"
            config, material, too_long = self._material(scratch)
            facts = train(config, material, out, scratch / "trainer", checkpoints)
            if processes.rank() > 0:
                return
            self._describe(out, material, too_long, facts)
            keep_trying(
                "adapter", lambda: self.store.put_folder(self.place, out), seconds=STORE_PATIENCE
            )
        with contextlib.suppress(StoreError):  # only room is lost
            checkpoints.clear()

    def _material(self, scratch: Path) -> tuple[FinetuneConfig, "Material", list[str]]:
        """Return settled settings, what is trained on, checked to fit, and the examples that are too long."""
        from components.finetune.encode import encode, split_by_length
        from components.finetune.trainer import Material
        from components.shared.models import load_tokenizer

        config = self.config
        fitting, too_long = split_by_length(
            encode(load_tokenizer(self.base.path), self.examples), config.max_length
        )
        if not fitting:
            raise DataError(
                f"no example fits into {config.max_length} tokens", "raise finetune.max_length"
            )
        held = held_out_papers([example.paper for example in fitting], config.held_out, config.seed)
        material = Material(
            base=self.base.path,
            train=[example for example in fitting if example.paper not in held],
            held_out=[example for example in fitting if example.paper in held],
            start=self._fetch_start(scratch / "start"),
        )
        lengths = [len(example.input_ids) for example in fitting]
        counts = f"{len(material.train)} examples to train on, {len(material.held_out)} to watch"
        say("finetune", f"{counts}, up to {max(lengths)} tokens, on {self.base.name}")
        return self._preflight(lengths), material, [example.triple for example in too_long]

    def _fetch_start(self, folder: Path) -> Path | None:
        if self.start is None:
            return None
        with processes.first_on_node() as first:
            if first and not self.store.get_folder(self.start["prefix"], folder):
                problem = f"{self.start['prefix']} is named by the release log but is not whole in the store"
                raise StoreError(problem, "restore its files, or leave out finetune.continue_from")
        return folder / "weights"

    def _preflight(self, lengths: Sequence[int]) -> FinetuneConfig:
        """Say what the training will need; return the config with what it leaves open settled."""
        from components.finetune import preflight
        from components.finetune.speed import device_name, peak_flops
        from components.shared.models import device, load_config

        cuda, tokens, count = device() == "cuda", sum(lengths), processes.count()
        shape = preflight.shape_of(load_config(self.base.path))
        there = min(processes.gather(preflight.available()))  # all must come to the same plan
        config = preflight.place(
            self.config, shape, max(lengths), there=there, cuda=cuda, processes=count
        )
        needed = preflight.check(
            config, shape, max(lengths), there=there, cuda=cuda, processes=count
        )
        duration = preflight.seconds(config, shape, tokens, tokens / len(lengths), peak_flops())
        config = preflight.settled(config, cuda=cuda)
        say(
            "finetune",
            "plan: " + preflight.describe(needed, duration, device_name(), config.quantisation),
        )
        return config

    def _describe(
        self, out: Path, material: "Material", too_long: list[str], facts: Mapping[str, Any]
    ) -> None:
        """Write adapter.json and the curve beside the weights."""
        from components.finetune.curve import draw

        steps = [json.loads(line) for line in (out / "steps.jsonl").read_text("utf-8").splitlines()]
        write_atomically(out / "curve.png", draw(steps))
        about = {
            "base": self.base.name,
            "base_identity": self.base.identity,
            "base_path": "base" if self.config.base_model == TINY else "",
            "base_licence": self.base.licence,
            "continued_from": self.start["adapter_digest"] if self.start else "",
            "trained": True,
            "processes": processes.count(),
            "examples": len(material.train),
            "held_out": len(material.held_out),
            "too_long": too_long,
            "train_digest": self.train_digest,
            "adapter_digest": file_digest(out / "weights" / "adapter_model.safetensors"),
            **facts,
        }
        write_atomically(out / "adapter.json", json.dumps(about, indent=1, sort_keys=True))


def find_start(config: FinetuneConfig, store: Store, base: Base) -> Mapping[str, Any] | None:
    """Return the entry of the release to go on from; raise ModelError when its adapter is for another base."""
    if not config.continue_from:
        return None
    entry = store.latest(release_log(config.continue_from))
    if entry is None:
        say("finetune", f"there is no release {config.continue_from!r} yet: training starts afresh")
        return None
    if entry["base"] != base.name:
        problem = f"release {config.continue_from!r}: its adapter is for {entry['base']}, not for {base.name}"
        raise ModelError(problem, "name that base, or leave out finetune.continue_from")
    return entry


def held_out_papers(papers: Sequence[str], share: float, seed: int) -> set[str]:
    """Choose the papers that are watched: whole ones, by a hash, and always fewer than all."""
    ranked = sorted(set(papers), key=lambda paper: digest([seed, paper]))
    wanted = max(round(share * len(ranked)), 1 if share else 0)
    return set(ranked[: min(wanted, len(ranked) - 1)])
