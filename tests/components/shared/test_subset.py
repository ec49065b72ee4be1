"""A part of the examples has as many of each paper as there is room for."""

from collections import Counter

import pytest

from components.shared.subset import spread
from tests.builders import example

PAPERS = {"a": 40, "b": 9, "c": 2, "d": 1}
EXAMPLES = [example(triple=f"{p}{n}", paper=p) for p, count in PAPERS.items() for n in range(count)]


@pytest.mark.parametrize(
    ("limit", "counts"),
    [
        (0, PAPERS),
        (52, PAPERS),
        (1000, PAPERS),
        (13, {"a": 5, "b": 5, "c": 2, "d": 1}),
        (4, {"a": 1, "b": 1, "c": 1, "d": 1}),
    ],
)
def test_papers_share_alike(limit: int, counts: dict[str, int]) -> None:
    chosen = spread(EXAMPLES, limit)
    assert Counter(one.paper for one in chosen) == counts
    assert chosen == [one for one in EXAMPLES if one in chosen]  # in their order


def test_one_more_example_changes_few_others() -> None:
    more = [example(triple="new", paper="a"), *EXAMPLES]
    before, after = spread(EXAMPLES, 13), spread(more, 13)
    assert sum(one not in before for one in after) <= 1
