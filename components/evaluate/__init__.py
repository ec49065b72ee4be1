"""Evaluate: train + test + adapter -> report. All systems are scored alike; rules give the verdict."""
