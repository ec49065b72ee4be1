"""Measurements against a plain reimplementation of the seed's way, as ratios within one run."""
