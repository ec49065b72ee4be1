"""Split by paper, so that no test example comes from a paper that was trained on."""

import hashlib
from collections.abc import Iterable


def position(paper: str, seed: int) -> float:
    """Return the paper's place in [0, 1): it depends on id and seed alone, never on the other papers or its version."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{paper}".encode()).digest()[:6]) / 2**48


def choose_test_papers(papers: Iterable[str], fraction: float, seed: int) -> set[str]:
    """Return the papers to hold out: those placed below `fraction`, so that a paper never changes sides later.

    With so few papers that one side would be empty, the paper nearest to the border crosses it.
    """
    placed = sorted((position(paper, seed), paper) for paper in set(papers))
    test = {paper for place, paper in placed if place < fraction}
    if len(placed) > 1 and not test:
        test = {placed[0][1]}
    if len(placed) > 1 and len(test) == len(placed):
        test.remove(placed[-1][1])
    return test
