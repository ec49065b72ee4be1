"""Whether a run can end in a verdict, asked before each cost: the one home of what a verdict needs.

Scrape asks after the list is known, generate before the first question, finetune before the first
step. A run that cannot end in a verdict ends here with status 2, unless its user wants to train
anyway.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.shared.errors import ArxtuneError
from components.shared.ledger import read_lineage

MIN_TRAIN_PAPERS = 3  # fewer are nothing to learn from, and the test side takes none of them

REMEDY = (
    "raise --max-papers, set an earlier --published-after or name more licences by "
    "--allow-licences; or train without a verdict by --train-anyway"
)


class TooLittleData(ArxtuneError):
    """The run cannot end in a verdict: too few papers or examples to test on."""

    status = 2


@dataclass(frozen=True)
class VerdictNeeds:
    """What a verdict needs at least, and which share of the papers is tested on."""

    test_papers: int = 5
    test_examples: int = 20
    test_fraction: float = 0.2

    def missing(self, papers: int, examples: int) -> str:
        """Return what a test set lacks for a verdict, or nothing when it is enough."""
        if papers >= self.test_papers and examples >= self.test_examples:
            return ""
        needed = f"a verdict needs at least {self.test_examples} from {self.test_papers}"
        return f"{examples} test examples from {papers} papers; {needed}"


def position(paper: str, seed: int) -> float:
    """Return the paper's place in [0, 1): it depends on id and seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{paper}".encode()).digest()[:6]) / 2**48


def held_out(
    papers: Collection[str],
    seed: int,
    needs: VerdictNeeds,
    *,
    own: bool = False,
    examples: Mapping[str, int] | None = None,
) -> set[str]:
    """Return the papers to test on: those whose place is below the share.

    A set of one's `own` is complete: nothing comes to it later. If its share is less than a
    verdict needs, the papers next in place join the test side, as long as MIN_TRAIN_PAPERS are
    left to train on: until there are papers enough, and `examples` enough where it is told how
    many each paper has.
    """
    ordered = sorted(papers, key=lambda paper: (position(paper, seed), paper))
    below = len([paper for paper in ordered if position(paper, seed) < needs.test_fraction])
    most = len(ordered) - MIN_TRAIN_PAPERS
    if own and below < needs.test_papers <= most:
        below = needs.test_papers
    if own and examples:
        reached = 0
        for place, paper in enumerate(ordered[:most], 1):
            reached += examples.get(paper, 0)
            if reached >= needs.test_examples:
                below = max(below, place)
                break
    return set(ordered[:below])


def require_test_set(train: Path, *, train_anyway: bool = False) -> str:
    """Return what a verdict on this training set will rest on, or "" where curate told nothing.

    Raise TooLittleData where that is too little, and the papers were found by asking for them:
    more can be asked for. Who trains on rows of their own is told, and may.
    """
    stages = {summary.get("stage"): summary.get("facts", {}) for summary in read_lineage(train)}
    facts = stages.get("curate", {})
    if "test papers" not in facts:
        return ""
    missing = VerdictNeeds().missing(facts["test papers"], facts["test"])
    if not missing:
        return f"a verdict will rest on {facts['test']} examples of {facts['test papers']} papers"
    problem = f"too little data for a verdict: {missing}"
    if train_anyway or "scrape" not in stages:
        return f"{problem}; training anyway"
    raise TooLittleData(problem, REMEDY)


def require_verdict(
    papers: Collection[str], seed: int, *, own: bool = False, train_anyway: bool = False
) -> str:
    """Return the line that says what a verdict will rest on if these papers are all there are.

    Raise TooLittleData, with the number of papers that would do, where a verdict cannot be
    reached.
    """
    needs = VerdictNeeds()
    testing = len(held_out(papers, seed, needs, own=own))
    training = len(papers) - testing
    told = f"{len(papers)} usable papers: {testing} to test on, {training} to train on"
    if testing >= needs.test_papers and training >= MIN_TRAIN_PAPERS:
        return told
    wanted = math.ceil(needs.test_papers / needs.test_fraction)
    if own:
        wanted = needs.test_papers + MIN_TRAIN_PAPERS
    problem = (
        f"too little data for a verdict: {told}; it needs {needs.test_papers} to test on "
        f"(and {needs.test_examples} examples of them) and {MIN_TRAIN_PAPERS} to train on, "
        f"which {wanted} papers are expected to give"
    )
    if train_anyway:
        return f"{problem}; training anyway"
    raise TooLittleData(problem, REMEDY)
