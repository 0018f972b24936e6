# `make` alone says what there is to make. Nothing but Python 3.11 or 3.12, make and git is needed.
VENV ?= .venv
ARGS ?=
LOGS ?= runs/latest/train/logs
TESTS ?= tests

BIN := $(VENV)/bin
PYTHON := $(BIN)/python
INSTALLED := $(VENV)/installed

# The first interpreter that is new enough and can make a virtual environment.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
BASE_PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	$$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)

.PHONY: help local test lint format compile tensorboard lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 - \2/p' $(MAKEFILE_LIST)

local: $(INSTALLED) ## Run the whole pipeline here: make local ARGS="--max-steps 2000"
	@$(PYTHON) -m pipeline local $(ARGS)

test: $(INSTALLED) ## Run the tests
	@$(PYTHON) -m pytest $(TESTS)

lint: $(INSTALLED) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(INSTALLED) ## Mend what the style check can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

compile: $(INSTALLED) ## Write pipeline.yaml: make compile GPU=4 IMAGES=images.json
	@$(PYTHON) -m pipeline compile $(if $(GPU),--gpus $(GPU)) $(if $(IMAGES),--images $(IMAGES)) $(ARGS)

tensorboard: $(INSTALLED) ## Open TensorBoard on the last run: make tensorboard LOGS=DIRECTORY
	@$(BIN)/tensorboard --logdir $(LOGS)

# Every version, with hashes: pip and uv refuse a package that is not exactly the one locked.
lock: $(INSTALLED) ## Resolve the dependencies anew
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --quiet \
		--generate-hashes --no-emit-index-url --no-header --output-file requirements.lock
	@echo uv | $(BIN)/uv pip compile - --universal --python-version 3.11 --quiet \
		--generate-hashes --no-emit-index-url --no-header --output-file requirements-uv.lock

clean: ## Remove runs, registry and environment
	rm -rf $(VENV) runs registry build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# uv installs in a tenth of pip's time; where it cannot reach an index that pip is set up for, pip does.
$(INSTALLED): requirements.lock requirements-uv.lock
	@test -n "$(BASE_PYTHON)" || { \
		echo "error: no Python 3.11 or 3.12 with venv found; install one, or name it: make BASE_PYTHON=..." >&2; \
		exit 1; }
	@echo "Installing into $(VENV) with $(BASE_PYTHON)"
	@$(BASE_PYTHON) -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(PYTHON) --require-hashes -r requirements.lock \
		|| $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.PHONY: test-kills
test-kills: $(INSTALLED) ## Prove that training killed twenty times ends with the same weights
	@KILLS=20 $(PYTHON) -m pytest tests/train/test_resume.py -k killed

.PHONY: bench-train
bench-train: $(INSTALLED) ## Measure training beside other ways to do it: make bench-train PEERS=PYTHON
	@PEERS=$(or $(PEERS),$(PYTHON)) $(PYTHON) -m bench.train

.PHONY: bench-accuracy
bench-accuracy: $(INSTALLED) ## Measure accuracy over seeds and draw the curves of docs/training.md
	@$(PYTHON) -m bench.accuracy

# The source of Kubeflow Pipelines, as "git clone --branch 2.16.1 https://github.com/kubeflow/pipelines"
# makes it: the checker is built inside that module, with its own dependencies, and leaves no file there.
KFP_SOURCE ?=
COMPILED ?= pipeline.yaml

.PHONY: backend-check
backend-check: ## Check that KFP's own compiler takes pipeline.yaml: make backend-check KFP_SOURCE=DIRECTORY
	@test -f "$(KFP_SOURCE)/backend/src/v2/compiler/argocompiler/argo.go" || { \
		echo "error: KFP_SOURCE=$(KFP_SOURCE) is no checkout of kubeflow/pipelines" >&2; exit 2; }
	@mkdir -p build
	@echo '{"Replace": {"$(abspath $(KFP_SOURCE))/backend/check/main.go": "$(CURDIR)/tests/backend/main.go"}}' \
		> build/overlay.json
	@go -C $(KFP_SOURCE) build -overlay $(CURDIR)/build/overlay.json -o $(CURDIR)/build/backend ./backend/check
	@build/backend $(COMPILED) > build/workflow.yaml
	@echo "$(COMPILED): accepted; the Argo workflow is in build/workflow.yaml"

CRON ?= 0 0 3 * * *

.PHONY: submit schedule
submit: $(INSTALLED) ## Run on a cluster: make submit HOST=http://localhost:8080 ARGS="--wait"
	@$(PYTHON) -m pipeline submit --host "$(HOST)" $(ARGS)

schedule: $(INSTALLED) ## Run on a cluster every day at 03:00 UTC, or when CRON says: make schedule HOST=...
	@$(PYTHON) -m pipeline schedule --host "$(HOST)" --cron "$(CRON)" $(ARGS)
