"""The container images of the stages: one for each set of dependencies."""

import os

VERSION = "0.1.0"
PREFIX = (
    os.environ.get("ARXTUNE_IMAGES") or "arxtune"
)  # registry and project, set where the pipeline is compiled
TAG = os.environ.get("ARXTUNE_TAG") or VERSION

SCRAPE = f"{PREFIX}/scrape:{TAG}"  # Chromium
DATA = f"{PREFIX}/data:{TAG}"  # extract, generate, curate, promote
LLM = f"{PREFIX}/llm:{TAG}"  # finetune, evaluate
