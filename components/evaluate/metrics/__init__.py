"""Further metrics, shown beside ROUGE: each is one small file, and this list."""

from components.evaluate.metrics.exact_match import EXACT_MATCH

FURTHER = (EXACT_MATCH,)
