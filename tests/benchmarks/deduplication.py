"""Near duplicates a second: datasketch's MinHash and LSH, the usual way, against ours.

Both run in this process and are measured in its processor time, the best of three rounds each, so
that what else the machine does stays out of it. ARXTUNE_BENCH_TRIPLES=100000 measures the full
size.
"""

import os
import random
import resource
import time
from collections.abc import Callable, Iterator

from components.curate.ngrams import NEAR as N
from components.curate.ngrams import near_duplicates, words
from tests.benchmarks.ratio import Ratio

TRIPLES = int(os.environ.get("ARXTUNE_BENCH_TRIPLES", "20000"))
THEIRS = 2_000  # triples that datasketch is given: its time grows with their number alone
THRESHOLD = 0.8
ROUNDS = 3
PERMUTATIONS = 80


def measure() -> Iterator[Ratio]:
    """Find planted near copies both ways; say how many were found, and how many wrongly."""
    texts, truth = planted(TRIPLES)
    found, seconds = best(lambda: near_duplicates(texts, THRESHOLD))
    ours = TRIPLES / seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    right = len(found.items() & truth.items())
    print(
        f"{TRIPLES} triples: recall {right / len(truth):.4f}, "
        f"precision {right / len(found):.4f}, {peak:.0f} MiB"
    )

    some, some_truth = planted(THEIRS)
    theirs_found, seconds = best(lambda: datasketch(some))
    theirs = THEIRS / seconds
    right = len(theirs_found.items() & some_truth.items())
    recall, precision = right / len(some_truth), right / max(1, len(theirs_found))
    print(f"datasketch, {THEIRS} triples: recall {recall:.4f}, precision {precision:.4f}")
    yield Ratio("near duplicates, triples/s", theirs, ours)


def best(work: Callable[[], dict[int, int]]) -> tuple[dict[int, int], float]:
    """Return what `work` finds, and the fewest seconds of processor time that it took."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        found = work()
        seconds.append(time.process_time() - started)
    return found, min(seconds)


def planted(count: int) -> tuple[list[str], dict[int, int]]:
    """Return texts of about 75 words, a tenth of them changed copies, and the true pairs."""
    chance = random.Random(count)
    vocabulary = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10)))
        for _ in range(20_000)
    ]
    weights = [
        1 / (rank + 5) for rank in range(len(vocabulary))
    ]  # as words of a language are spread
    flat = chance.choices(vocabulary, weights, k=75 * count)
    texts = [" ".join(flat[75 * n : 75 * n + 75]) for n in range(count - count // 10)]
    truth = {}
    for source in chance.sample(range(len(texts)), count // 10):
        changed = texts[source].split()
        for _ in range(chance.randint(0, 5)):  # a similarity of about 1.0 to 0.65
            changed[chance.randrange(75)] = chance.choice(vocabulary)
        if similarity(texts[source].split(), changed) >= THRESHOLD:
            truth[len(texts)] = source
        texts.append(" ".join(changed))
    return texts, truth


def similarity(one: list[str], other: list[str]) -> float:
    """Return the Jaccard similarity of two texts' word 3-grams."""
    mine, yours = (
        {tuple(text[n : n + N]) for n in range(len(text) - N + 1)} for text in (one, other)
    )
    return len(mine & yours) / len(mine | yours)


def datasketch(texts: list[str]) -> dict[int, int]:
    """Return {text: an earlier one that datasketch takes for nearly the same}."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    found = {}
    for number, text in enumerate(texts):
        split = words(text)
        minhash = MinHash(num_perm=PERMUTATIONS)
        minhash.update_batch(
            [" ".join(split[n : n + N]).encode() for n in range(len(split) - N + 1)]
        )
        if near := index.query(minhash):
            found[number] = min(near)
        index.insert(number, minhash)
    return found
