"""Fewer examples than there are: as many of each paper as there is room for."""

from collections import Counter
from collections.abc import Sequence

from components.shared.records import Example, digest


def spread(examples: Sequence[Example], limit: int) -> list[Example]:
    """Return at most `limit` examples, in their order, as evenly over papers as can be; 0 is all.

    Which ones is decided by hashes of the examples alone, so that one more changes few others.
    """
    if not limit or len(examples) <= limit:
        return list(examples)
    names = [digest([example.paper, example.triple, example.prompt]) for example in examples]
    ranked = []  # (how many of its paper come before, hash, place)
    before: Counter[str] = Counter()
    for place in sorted(range(len(examples)), key=names.__getitem__):
        paper = examples[place].paper
        ranked.append((before[paper], names[place], place))
        before[paper] += 1
    chosen = sorted(place for _, _, place in sorted(ranked)[:limit])
    return [examples[place] for place in chosen]
