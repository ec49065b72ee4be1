"""Promote: adapter + report -> release, only for a verdict of "better"."""
