"""Promote: adapter + report -> release. Only for a verdict of "better": an immutable release, then a moved pointer."""
