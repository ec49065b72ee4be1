"""The container images of the stages: one for each set of dependencies."""

import os

VERSION = "0.1.0"
PREFIX = os.environ.get("ARXTUNE_IMAGES", "arxtune")  # registry and project, set where the pipeline is compiled

SCRAPE = f"{PREFIX}/scrape:{VERSION}"  # Chromium
DATA = f"{PREFIX}/data:{VERSION}"  # extract, generate, curate, promote
LLM = f"{PREFIX}/llm:{VERSION}"  # finetune, evaluate
