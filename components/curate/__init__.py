"""Curate: triples -> train, test. Licence, quality and duplicates are gates with reasons; the split is by paper."""
