"""The pipeline, and the ways to run it: here by kfp.local, or on a cluster from the compiled
YAML."""
