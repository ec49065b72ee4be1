"""Evaluate: train + test + adapter -> report; all systems are scored alike."""
