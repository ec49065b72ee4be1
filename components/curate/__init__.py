"""Curate: triples -> train, test. Every gate has a reason; the split is by paper."""
