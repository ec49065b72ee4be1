# arxtune: every target sets up what it needs first. `make help` lists them.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
TORCH_INDEX ?=
PIP    := pip==26.3
UV     := uv==0.13.9
SBOM   := cyclonedx-bom==7.5.0
VENV   := .venv
READY  := $(VENV)/ready
RUN    ?=
DEPLOY ?=
BASE   ?= debian:bookworm-slim
# Each stage is a process of its own: without byte code on disk each would compile torch and its friends anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup packages run run-real run-containers test test-real test-soak test-gpu check bench compile images push base-image sbom deploy doctor lock releases clean
.DEFAULT_GOAL := help

help: ## explain each target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: packages $(READY) ## make the virtual environment and see that a browser is there

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "arxtune needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV): two minutes, 2 GB of disk; 6 GB where PyTorch brings its parts for NVIDIA GPUs"
	@echo "without such a GPU: make TORCH_INDEX=URL, with the URL of PyTorch's own index for CPUs"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP)
	@PYTHONWARNINGS=ignore $(VENV)/bin/pip install --quiet --no-compile --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH) --editable '.[dev]'
	@touch $@

# What is missing is named, or as root installed, all at once. For a user who is not root Chromium needs its sandbox.
packages:
	@missing=; { command -v chromium || command -v google-chrome; } >/dev/null && command -v chromedriver >/dev/null \
	  || missing='chromium chromium-driver chromium-sandbox'; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	install="apt-get install --no-install-recommends $$missing"; \
	if [ -z "$$missing" ]; then exit 0; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "arxtune needs more packages: sudo $$install"; exit 1; fi; \
	echo "installing $$missing"; apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$install -y -qq >/dev/null

run: setup ## run the whole pipeline here, with embedded defaults; RUN='--seed 1' adds flags
	@$(VENV)/bin/arxtune run $(RUN)

run-real: setup ## run it with a real language model, SmolLM2-135M (93 MiB, fetched once); RUN='--papers FOLDER' adds flags
	@$(VENV)/bin/arxtune run --base-model smollm2 $(RUN)

test: setup check ## run the linters, the type checker and the tests
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile

test-soak: setup ## run the long tests too: kills, faults and questions by the dozen
	@$(VENV)/bin/python -m pytest -m 'not gpu and not real'

test-gpu: setup ## check and measure what only an NVIDIA GPU shows: build/gpu.md
	@$(VENV)/bin/python -m tests.gpu

test-real: setup ## run the tests that need a real language model: up to an hour
	@$(VENV)/bin/python -m pytest -m real

check: $(READY) ## run ruff and mypy
	@$(VENV)/bin/ruff format --check --quiet . && $(VENV)/bin/ruff check --quiet . && $(VENV)/bin/mypy

bench: setup ## measure against the reference project's way, as ratios in one run
	@$(VENV)/bin/python -m tests.benchmarks

compile: $(READY) ## write the pipeline for a cluster to build/arxtune.yaml
	@$(VENV)/bin/arxtune compile

deploy: $(READY) ## bring everything to a cluster; DEPLOY='--dry-run' adds flags, see docs/cluster.md
	@$(VENV)/bin/arxtune deploy $(DEPLOY)

doctor: $(READY) ## look at all that a run needs, here and on the cluster
	@$(VENV)/bin/arxtune doctor

# ---- container images: one for each set of dependencies
IMAGES := scrape data llm
TAG     = $(shell $(VENV)/bin/python -m components.shared.images $*)
STAGES  = $(shell $(VENV)/bin/python -c 'from components.shared.images import STAGES_OF as of; print(*of["$*"])')

images: $(IMAGES:%=image-%) ## build the three images; BASE=debian:bookworm-slim@sha256:... names what they stand on

.PHONY: docker
docker:
	@docker version >/dev/null 2>&1 || { echo "images take a Docker Engine that answers: sudo apt-get install docker.io"; exit 1; }

image-%: docker build/wheels/%/ready
	@docker build --quiet --network host --build-arg BASE=$(BASE) --build-arg IMAGE=$* \
	  --build-arg PACKAGES="$$(cat images/$*/packages.txt)" --build-arg STAGES='$(STAGES)' \
	  --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" --tag $(TAG) --file images/Dockerfile . >/dev/null
	@docker image inspect --format '$(TAG)  {{.Size}} bytes' $(TAG)

push: $(READY) ## push the three images to where ARXTUNE_IMAGES says
	@for image in $$($(VENV)/bin/python -m components.shared.images); do docker push --quiet "$$image" || exit 1; done

.PRECIOUS: build/wheels/%/ready
# Wheels are fetched by hash; torch's build (CUDA or CPU) is the index's to choose, so only its version is fixed.
build/wheels/%/ready: images/%/requirements.txt $(READY)
	@rm -rf $(@D) && mkdir -p $(@D) && echo "fetching the packages of $*"
	@$(VENV)/bin/pip download --quiet --no-deps --require-hashes --requirement $< --dest $(@D)
	@$(VENV)/bin/pip wheel --quiet --no-deps --constraint constraints.txt kfp --wheel-dir $(@D)
	@if [ $* = llm ]; then echo '$(TORCH)' > $(@D)/torch.txt \
	  && $(VENV)/bin/pip download --quiet --constraint constraints.txt $(TORCH) --dest $(@D); fi
	@touch $@

base-image: ## make the base arxtune-base from Debian packages, where no image can be pulled: make images BASE=arxtune-base
	@rm -rf build/base && debootstrap --variant=minbase bookworm build/base >build/base.log || { tail -3 build/base.log; exit 1; }
	@rm -rf build/base/var/lib/apt/lists/* build/base/var/cache/apt/* && tar -C build/base -c . | docker import - arxtune-base >/dev/null
	@rm -rf build/base

sbom: $(READY) ## list what each image holds of Python packages: build/sbom/*.json, CycloneDX
	@$(VENV)/bin/pip install --quiet --target build/cyclonedx --upgrade $(SBOM) && mkdir -p build/sbom
	@for image in $(IMAGES); do PYTHONPATH=build/cyclonedx $(VENV)/bin/python -m cyclonedx_py requirements \
	  images/$$image/requirements.txt --output-file build/sbom/$$image.json && echo build/sbom/$$image.json; done

run-containers: setup images ## run the whole pipeline in the images, as a cluster would; RUN='--seed 1' adds flags
	@$(VENV)/bin/arxtune run --containers $(RUN)

lock: $(READY) ## choose the versions of constraints.txt anew; needs PyPI
	@$(VENV)/bin/pip install --quiet --target build/uv --upgrade $(UV)
	@echo '$(TORCH)' > build/torch.txt
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade --no-annotate \
	  --no-header --constraint build/torch.txt --output-file constraints.txt pyproject.toml
	@echo "torch ; sys_platform == 'never'" > build/no-torch.txt
	@for image in $(IMAGES); do build/uv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --override build/no-torch.txt --constraint constraints.txt \
	  --output-file images/$$image/requirements.txt images/$$image/requirements.in; done

releases: $(READY) ## list what was promoted here
	@$(VENV)/bin/arxtune releases

clean: ## remove the virtual environment and what was built; .arxtune (runs and store) stays
	@rm -rf $(VENV) build
