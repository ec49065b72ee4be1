"""Pairs of texts scored a second: rouge-score against our own, both with rouge-score's tokenizer
and stemmer."""

import random
import time
from collections.abc import Callable, Iterator

from components.evaluate.rouge import METRICS, rouge_score_tokens, score
from components.scrape.standin.corpus import SAMPLES
from tests.benchmarks.ratio import Ratio

SIZES = {
    "400 x 1,000 words": (8, 400, 1_000),
    "80 x 80 words": (200, 80, 80),
    "12 x 15 words": (600, 12, 15),
}


def measure() -> Iterator[Ratio]:
    """Score the same pairs of sample text both ways; the first pair warms both up."""
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer(list(METRICS), use_stemmer=True)
    words = " ".join(path.read_text("utf-8") for path in sorted(SAMPLES.glob("*.txt"))).split()
    draw = random.Random(0)
    for name, (count, first, second) in SIZES.items():
        pairs = [(_text(draw, words, first), _text(draw, words, second)) for _ in range(count + 1)]
        for reference, answer in pairs[
            :20
        ]:  # the scores must be the same before their speed means anything
            ours = score(reference, answer, rouge_score_tokens)
            found = theirs.score(reference, answer)
            assert all(
                abs(ours[metric].fmeasure - found[metric].fmeasure) < 1e-9 for metric in METRICS
            )
        seed = _rate(lambda one, other: theirs.score(one, other), pairs)
        ours_rate = _rate(lambda one, other: score(one, other, rouge_score_tokens), pairs)
        yield Ratio(f"ROUGE, pairs/s of {name}", seed, ours_rate)


def _text(draw: random.Random, words: list[str], length: int) -> str:
    start = draw.randrange(len(words) - length)
    return " ".join(words[start : start + length])


def _rate(score_pair: Callable[[str, str], object], pairs: list[tuple[str, str]]) -> float:
    score_pair(*pairs[0])
    started = time.perf_counter()
    for pair in pairs[1:]:
        score_pair(*pair)
    return (len(pairs) - 1) / (time.perf_counter() - started)
