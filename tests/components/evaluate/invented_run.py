"""A run up to evaluate, as files: invented papers, their examples, an adapter folder, and answers
already in the store.

The models' answers lie in the store under their keys, so that no test here needs a model; whoever
computes a wrong key would try to load a base that does not exist.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluate.answers import AnswerCache, system_key
from components.evaluate.config import EvaluateConfig
from components.evaluate.currency import general_text
from components.shared.prompt import render_prompt
from components.shared.records import Example, Source, digest, write_atomically
from components.shared.releases import Release, append, current
from components.shared.store import FolderStore

SENTENCES = (
    "Lantern pruning removes attention heads whose entropy stays above a bound for a thousand steps.",
    "On the Brackwater set the error fell from 11.4 to 8.9 percent while memory shrank by a third.",
    "The gain vanished when the calibration text came from a single month of the year.",
    "A linear probe on layer twelve already recovers most of the difference between both groups.",
    "Routing by token rarity keeps the experts balanced without an auxiliary loss.",
    "The bound holds for every step size η below 2/λ, where λ is the largest eigenvalue.",
    "Annotators agreed on 87 percent of the pairs, which is close to the agreement of the authors.",
    "Longer contexts helped only where the answer stood in the first half of the document.",
    "The smaller model reached the same loss after twice as many tokens and a fifth of the energy.",
    "Deleting duplicated abstracts changed the ranking of the methods on two of the five corpora.",
)
KINDS = (
    ("figure", "Which sentence of the passage gives a measured figure?"),
    ("claim", "State the claim that the passage ends on."),
    ("term", "What does the passage say about the method's calibration?"),
)
REJECTS = (
    ("scrape", "2404.90099v1", "truncated PDF", "no %%EOF in 18,204 bytes; truncated.pdf"),
    ("extract", "2406.90031v1", "password protected", "locked-paper.pdf"),
    ("curate", "9f31c2", "licence not allowed", "2409.90010, page 2: State the claim that ..."),
)


@dataclass
class Run:
    """The folders of one run, and what the models answer in it."""

    config: EvaluateConfig
    root: Path
    examples: list[Example]

    @property
    def folders(self) -> tuple[Path, Path, Path, Path, Path, Path]:
        """Return train, test, adapter, evaluation, report and summary, as evaluate takes them."""
        train, test, adapter, evaluation = (
            self.root / name for name in ("train", "test", "adapter", "evaluation")
        )
        report = self.root / "report" / "report.html"
        return train, test, adapter, evaluation, report, self.root / "summary.md"

    @property
    def store(self) -> FolderStore:
        return FolderStore(Path(self.config.store))

    @property
    def report(self) -> str:
        return self.folders[4].read_text("utf-8")

    def answer(
        self, adapter_digest: str, texts: Sequence[str], base: str = "invented-base"
    ) -> None:
        """Put the answers of the system with this digest into the store."""
        place = system_key(self.config, base, adapter_digest)
        rows = [[text, len(text.split()) + 1, len(text.split()) < 40] for text in texts]
        names = [digest(example.prompt)[:32] for example in self.examples]
        AnswerCache(self.store, f"{place}/answers").add(dict(zip(names, rows, strict=True)))
        names = [digest([example.prompt, example.completion])[:32] for example in self.examples]
        texts = [*general_text(), *(example.input for example in self.examples)]
        names += [digest(["", text])[:32] for text in texts]
        AnswerCache(self.store, f"{place}/losses").add({name: [30.0, 20] for name in names})

    def release(
        self,
        version: int,
        adapter_digest: str,
        base: str = "invented-base",
        papers: Sequence[str] = (),
    ) -> None:
        """Append a release that was trained on these papers."""
        before = current(self.store, self.config.release)
        prefix = f"releases/{self.config.release}/v{version}-{adapter_digest[:12]}"
        folder = self.root / "released"
        write_atomically(folder / "trained_papers.json", json.dumps(list(papers)))
        self.store.put_folder(prefix, folder)
        entry = Release(
            version=version,
            adapter_digest=adapter_digest,
            base=base,
            prefix=prefix,
            manifest="",
            sums="",
            after=before.label if before else "",
        )
        append(self.store, self.config.release, entry)

    def good(self, noise: float = 0.25) -> list[str]:
        """Return answers close to the references: each word is lost with probability `noise`."""
        draw = random.Random(1)
        words = [example.completion.split() for example in self.examples]
        return [" ".join(word for word in text if draw.random() >= noise) for text in words]

    def rambling(self) -> list[str]:
        """Return what a base does: it goes on with the passage and never ends."""
        draw = random.Random(2)
        return [" ".join(draw.choices(SENTENCES, k=4)) for _ in self.examples]


def make_examples(papers: int, each: int, first: int, seed: int) -> list[Example]:
    draw = random.Random(seed)
    found = []
    for number in range(papers * each):
        passage = draw.sample(SENTENCES, 5)
        kind, instruction = KINDS[number % len(KINDS)]
        text = " ".join(passage)
        found.append(
            Example(
                triple=f"{seed}-{number:04d}",
                paper=f"2405.9{first + number // each:04d}",
                kind=kind,
                instruction=instruction,
                input=text,
                prompt=render_prompt(instruction, text),
                completion=passage[4 if kind == "claim" else draw.randrange(1, 4)],
            )
        )
    return found


def lineage(rejects: Sequence[tuple[str, str, str, str]]) -> list[dict[str, Any]]:
    """Return the summaries of the stages before, with what each of them dropped."""
    stages = []
    for stage in ("scrape", "extract", "generate", "curate", "finetune"):
        columns = ("stage", "item", "reason", "detail")
        dropped = [dict(zip(columns, row, strict=True)) for row in rejects if row[0] == stage]
        summary: dict[str, Any] = {"stage": stage, "unit": "papers", "kept": 40, "seconds": 7.25}
        summary |= {"seen": 40 + len(dropped), "dropped": {row["reason"]: 1 for row in dropped}}
        facts = {"site": "loopback", "tokens per second": 4123.7, "licences": {"CC BY 4.0": 33}}
        stages.append({**summary, "facts": facts, "rejects": dropped})
    return stages


def source(paper: str) -> Source:
    return Source(
        paper=paper,
        version=1,
        title="Slow Calibration of Routed Experts",
        authors=["Invented Author Group 12", "Invented Author Group 31"],
        licence="http://creativecommons.org/licenses/by/4.0/",
    )
