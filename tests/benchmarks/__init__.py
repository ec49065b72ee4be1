"""Measurements against a plain reimplementation of the reference project's way, as ratios within
one run."""
