"""Exact match: whether an answer has the reference's tokens (as in SQuAD)."""

from components.evaluate.metrics.metric import Metric
from components.evaluate.rouge import unicode_tokens


def exact_match(reference: str, answer: str) -> float:
    """Return 1 when both texts have the same tokens, else 0."""
    return float(unicode_tokens(reference) == unicode_tokens(answer))


EXACT_MATCH = Metric("exact match", "share of answers", True, exact_match)
