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

local: $(INSTALLED) ## Run the whole pipeline here: make local ARGS="--max-steps 2000" RUNNER=docker
	@$(PYTHON) -m pipeline local $(if $(RUNNER),--runner $(RUNNER)) $(if $(IMAGES),--images $(IMAGES)) $(ARGS)

test: $(INSTALLED) ## Run the tests
	@$(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile $(TESTS)

lint: $(INSTALLED) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@test ! -x $(BIN)/hadolint || $(BIN)/hadolint docker/Dockerfile
	@$(BIN)/shellcheck docker/*.sh

format: $(INSTALLED) ## Mend what the style check can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

compile: $(INSTALLED) ## Write pipeline.yaml: make compile GPU=4 IMAGES=images.json
	@$(PYTHON) -m pipeline compile $(if $(GPU),--gpus $(GPU)) $(if $(IMAGES),--images $(IMAGES)) $(ARGS)

tensorboard: $(INSTALLED) ## Open TensorBoard on the last run: make tensorboard LOGS=DIRECTORY
	@$(BIN)/tensorboard --logdir $(LOGS)

# Every version, with hashes: pip and uv refuse a package that is not exactly the one locked. An image
# holds those versions of requirements.lock that its step needs; only train-gpu has more of its own.
COMPILE := pip compile --universal --python-version 3.11 --quiet --generate-hashes --no-emit-index-url --no-header
COMPILE_IMAGE := $(COMPILE) --no-annotate --constraints requirements.lock

lock: $(INSTALLED) ## Resolve the dependencies anew
	@$(BIN)/uv $(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	@echo uv | $(BIN)/uv $(COMPILE) - --output-file requirements-uv.lock
	@for step in ingest train evaluate push; do \
		$(BIN)/uv $(COMPILE_IMAGE) pyproject.toml --extra $$step --output-file docker/$$step.lock; done
	@$(BIN)/uv $(COMPILE_IMAGE) pyproject.toml --group train-gpu --output-file docker/train-gpu.lock
	@sed -n 's/^\(tensorflow.*\) \\$$/\1/p' docker/train.lock \
		| $(BIN)/uv $(COMPILE_IMAGE) - --output-file docker/tensorflow.lock
	@echo kfp | $(BIN)/uv $(COMPILE_IMAGE) - --no-deps --output-file docker/kfp.lock

clean: ## Remove runs, registry and environment
	rm -rf $(VENV) runs registry build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# uv installs in an eighth of pip's time; where it cannot reach an index that pip is set up for, pip does.
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

.PHONY: bench-memory
bench-memory: $(INSTALLED) ## Measure memory as the data grows (Linux, 8 GB of disk)
	@$(PYTHON) -m bench.memory

.PHONY: bench-accuracy
bench-accuracy: $(INSTALLED) ## Measure accuracy over seeds and draw the curves of docs/training.md
	@$(PYTHON) -m bench.accuracy

.PHONY: browser

browser: ## Install headless Chromium, which the tests of pages need (Debian or Ubuntu, as root)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
		chromium chromium-driver >/dev/null; }

.PHONY: test-evaluate-kills

test-evaluate-kills: $(INSTALLED) ## Kill evaluate at twenty random moments
	@EVALUATE_KILLS=20 $(PYTHON) -m pytest tests/evaluate/test_evaluate.py -k killed

BUILD_BIN := $(CURDIR)/build/bin
FAKE_GCS_SERVER ?= v1.56.1
KSERVE ?= v0.15.2

.PHONY: fake-gcs-server kserve-schema kill-push serve

fake-gcs-server: ## Install the storage server that tests of gs:// talk to (needs go)
	GOBIN=$(BUILD_BIN) go install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_SERVER)

kserve-schema: ## Fetch the schema that the KServe manifest is checked against (needs go)
	@mkdir -p build/kserve
	@module=$$(go mod download -json github.com/kserve/kserve@$(KSERVE) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') \
		&& install -m 644 "$$module"/config/crd/full/serving.kserve.io_inferenceservices.yaml build/kserve/

kill-push: $(INSTALLED) ## Kill a push at thirty random moments, on disk and in a bucket
	KILLS=30 $(PYTHON) -m pytest tests/push/test_kill.py -k random_moments -s

serve: $(INSTALLED) ## Try the registry's champion in a browser: make serve ARGS="--port 8501"
	@$(PYTHON) -m components.serve $(ARGS)

CRON ?= 0 0 3 * * *

.PHONY: submit schedule
submit: $(INSTALLED) ## Run on a cluster: make submit HOST=http://localhost:8080 ARGS="--wait"
	@$(PYTHON) -m pipeline submit --host "$(HOST)" $(ARGS)

schedule: $(INSTALLED) ## Run on a cluster every day at 03:00 UTC, or when CRON says: make schedule HOST=...
	@$(PYTHON) -m pipeline schedule --host "$(HOST)" --cron "$(CRON)" $(ARGS)

BEAM := 2.77.0
.PHONY: prism flink-job-server kill-ingest

prism: ## Install Beam's portable runner, which a test of ingest sends its job to (needs go)
	GOBIN=$(CURDIR)/build/bin go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

flink-job-server: ## Install Flink in Beam's job server, for a test of ingest (needs mvn and java 17)
	mvn --batch-mode --quiet --file tests/ingest/flink/pom.xml jar:jar

kill-ingest: $(INSTALLED) ## Kill an ingest at twenty random moments
	KILLS=20 $(PYTHON) -m pytest tests/ingest/test_kill.py -s

.PHONY: images podman test-containers
images: ## Build the images, and push them: make images REGISTRY=registry.example/team TAG=v1
	@$(foreach name,REGISTRY TAG STEPS IMAGES,$(if $($(name)),$(name)="$($(name))")) docker/images.sh

podman: ## Install podman, and what test-containers needs beside it (Debian, as root)
	@which podman mmdebstrap docker-registry >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 aardvark-dns buildah \
		docker-registry iptables mmdebstrap netavark podman runc uidmap >/dev/null; }

test-containers: $(INSTALLED) podman ## Build the images and run the pipeline in them (Debian, as root)
	@docker/with-podman.sh docker/test.sh $(PYTHON) -m pytest -m containers tests/e2e/test_containers.py

CYCLONEDX := cyclonedx-bom==7.5.0
.PHONY: sbom
sbom: $(INSTALLED) ## Write the bill of materials of each image to build/sbom, as CycloneDX
	@mkdir -p build/sbom
	@for step in ingest train train-gpu evaluate push; do \
		$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header \
			--python-version 3.11 --python-platform x86_64-manylinux_2_36 docker/$$step.lock docker/kfp.lock \
		| $(BIN)/uv tool run --quiet --from $(CYCLONEDX) cyclonedx-py requirements --output-reproducible \
			--output-file build/sbom/$$step.json - && echo "Wrote build/sbom/$$step.json" || exit 1; done
