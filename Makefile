# arxtune: every target sets up what it needs first. `make help` lists them.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
PIP    := pip==26.3
UV     := uv==0.13.9
VENV   := .venv
READY  := $(VENV)/ready
RUN    ?=
DEPLOY ?=

.PHONY: help setup browser run test test-soak test-gpu check bench compile deploy doctor lock releases clean
.DEFAULT_GOAL := help

help: ## explain each target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) browser ## make the virtual environment and see that a browser is there

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "arxtune needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory debian-packages PACKAGES=python3-venv
	@echo "setting up $(VENV): a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP)
	@$(VENV)/bin/pip install --quiet --no-compile --constraint constraints.txt $(TORCH) --editable '.[dev]'
	@touch $@

browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null && command -v chromedriver >/dev/null \
	  || $(MAKE) --no-print-directory debian-packages PACKAGES='chromium chromium-driver'

.PHONY: debian-packages
debian-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $(PACKAGES)"; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(PACKAGES) >/dev/null; \
	else echo "arxtune needs $(PACKAGES): sudo apt-get install --no-install-recommends $(PACKAGES)"; exit 1; fi

run: setup ## run the whole pipeline here, with embedded defaults; RUN='--seed 1' adds flags
	@$(VENV)/bin/arxtune run $(RUN)

test: setup check ## run the linters, the type checker and the tests
	@$(VENV)/bin/python -m pytest

test-soak: setup ## run the long tests too: kills, faults and questions by the dozen
	@$(VENV)/bin/python -m pytest -m 'not gpu'

test-gpu: setup ## run the tests that need an NVIDIA GPU
	@$(VENV)/bin/python -m pytest -m gpu

check: $(READY) ## run ruff and mypy
	@$(VENV)/bin/ruff format --check --quiet . && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/mypy

bench: setup ## measure against the seed's way, as ratios in one run
	@$(VENV)/bin/python -m tests.benchmarks

compile: $(READY) ## write the pipeline for a cluster to build/arxtune.yaml
	@$(VENV)/bin/arxtune compile

deploy: $(READY) ## bring everything to a cluster; DEPLOY='--dry-run' adds flags, see docs/cluster.md
	@$(VENV)/bin/arxtune deploy $(DEPLOY)

doctor: $(READY) ## look at all that a run needs, here and on the cluster
	@$(VENV)/bin/arxtune doctor

lock: $(READY) ## choose the versions of constraints.txt anew; needs PyPI
	@$(VENV)/bin/pip install --quiet --target build/uv --upgrade $(UV)
	@echo '$(TORCH)' > build/torch.txt
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade --no-annotate \
	  --no-header --constraint build/torch.txt --output-file constraints.txt pyproject.toml

releases: $(READY) ## list what was promoted here
	@$(VENV)/bin/arxtune releases

clean: ## remove the virtual environment and what was built; .arxtune (runs and store) stays
	@rm -rf $(VENV) build
