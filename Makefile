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

compile: $(INSTALLED) ## Write pipeline.yaml
	@$(PYTHON) -m pipeline compile $(ARGS)

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

BEAM := 2.77.0
FLINK := 1.20
.PHONY: prism flink-job-server kill-ingest

prism: ## Install Beam's portable runner, which a test of ingest sends its job to (needs go)
	GOBIN=$(CURDIR)/build/bin go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

flink-job-server: ## Install Flink in Beam's job server, for a test of ingest (needs mvn and java 17)
	mvn --batch-mode --quiet dependency:copy -DoutputDirectory=build/flink -Dmdep.stripVersion=true \
		-Dartifact=org.apache.beam:beam-runners-flink-$(FLINK)-job-server:$(BEAM)
	mv build/flink/beam-runners-flink-$(FLINK)-job-server.jar build/flink/job-server.jar

kill-ingest: $(INSTALLED) ## Kill an ingest at twenty random moments
	KILLS=20 $(PYTHON) -m pytest tests/ingest/test_kill.py -s
