"""Promote: adapter + report -> release. Only a verdict of "better" gets this far; the release is immutable, the pointer moves."""
