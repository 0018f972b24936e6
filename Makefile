# `make` alone says what there is to make. Nothing but Python 3.11 to 3.13, make and git is needed.
VENV ?= .venv
ARGS ?=
TESTS ?= tests
LOGS ?= runs/latest/train/logs
CRON ?= 0 0 3 * * *
FUZZ ?= 2000
SUITES ?= bookworm trixie

quoted = '$(subst ','\'',$(1))'
BIN := $(call quoted,$(VENV)/bin)
PYTHON := $(BIN)/python
BUILD_BIN := $(CURDIR)/build/bin
BEAM := 2.77.0
FAKE_GCS_SERVER ?= v1.56.1
VERSITYGW ?= v1.8.0
SEAWEEDFS ?= v0.0.0-20261109003541-7506e5f91cd6
KSERVE ?= v0.20.0
VERTEX := 2.7.0
SERVING_API := 2.21.0
CYCLONEDX := cyclonedx-bom==7.5.0

# What is installed is known by the contents of what was locked, so that clones may share an environment.
content := $(shell cat install.sh requirements.txt | cksum | cut -d ' ' -f 1)
space := $() $()
escaped := $(subst $(space),\ ,$(VENV))
INSTALLED := $(escaped)/installed-$(content)
DEVELOPED := $(escaped)/developed-$(content)

# A variable on the command line is one that the target knows: an option of the program behind it, as
# SOURCE=data/mnist for --source data/mnist, or one of those listed here. Any other would be ignored in silence.
PROGRAMS := local predict tune compile upload submit schedule serve test-cluster
OWN := VENV BASE_PYTHON INSTALLER ARGS
KNOWN_local := RUNNER IMAGES
KNOWN_predict := RUNNER IMAGES
KNOWN_tune := RUNNER IMAGES
KNOWN_compile := GPU IMAGES PIPELINE
KNOWN_schedule := CRON
KNOWN_test := TESTS
KNOWN_tensorboard := LOGS
KNOWN_images := REGISTRY TAG STEPS IMAGES ENGINE BASE_IMAGE
KNOWN_test-containers := BASE_IMAGE
KNOWN_fake-gcs-server := FAKE_GCS_SERVER
KNOWN_versitygw := VERSITYGW
KNOWN_seaweedfs := SEAWEEDFS
KNOWN_kserve-schema := KSERVE
KNOWN_bench-train := PEERS
KNOWN_bench-record := PEERS
KNOWN_bench-size := BEFORE
KNOWN_bench-local := BEFORE
KNOWN_bench-imports := BEFORE
KNOWN_fuzz := FUZZ TESTS
KNOWN_release := VERSION NEXT
KNOWN_test-roots := SUITES

GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command%line,$(subst $() ,%,$(origin $(name)))),$(name)))
GIVEN := $(filter-out MAKEFLAGS MAKEOVERRIDES -*-% CURDIR,$(GIVEN))
GOALS := $(or $(MAKECMDGOALS),help)
OTHER := $(filter-out $(OWN) $(foreach goal,$(GOALS),$(KNOWN_$(goal))),$(GIVEN))
ifneq ($(OTHER),)
ifeq ($(filter $(PROGRAMS),$(GOALS)),)
$(error $(GOALS): no variable $(OTHER), expected one of $(OWN) $(foreach goal,$(GOALS),$(KNOWN_$(goal))))
endif
endif

lower = $(shell echo $(1) | tr 'A-Z_' 'a-z-')
OPTIONS = $(foreach name,$(OTHER),--$(call lower,$(name))=$(call quoted,$($(name)))) $(ARGS)

.DEFAULT_GOAL := help

##@ First

.PHONY: local test
local: $(INSTALLED) ## Run the whole pipeline here: make local SOURCE=data/mnist MAX_STEPS=2000 RUNNER=docker
	@$(PYTHON) -m pipeline local $(if $(RUNNER),--runner $(RUNNER)) $(if $(IMAGES),--images $(IMAGES)) $(OPTIONS)

test: $(DEVELOPED) ## Run the tests: make test TESTS=tests/ingest
	@$(PYTHON) -m pytest -n 3 --dist loadfile $(TESTS)

##@ Look at a run, use its model

.PHONY: predict tune tensorboard serve
predict: $(INSTALLED) ## Have the champion say what new images show, and watch them: make predict SOURCE=in/{date}
	@$(PYTHON) -m pipeline predict $(if $(RUNNER),--runner $(RUNNER)) $(if $(IMAGES),--images $(IMAGES)) $(OPTIONS)

tune: $(INSTALLED) ## Try many settings, keep the best: make tune TRIALS=30 SEARCH='learning_rate=0.01..0.1:log'
	@$(PYTHON) -m pipeline tune $(if $(RUNNER),--runner $(RUNNER)) $(if $(IMAGES),--images $(IMAGES)) $(OPTIONS)

tensorboard: $(INSTALLED) ## Open TensorBoard on the last run: make tensorboard LOGS=DIRECTORY
	@$(BIN)/tensorboard --logdir $(call quoted,$(LOGS))

serve: $(INSTALLED) ## Try the registry's champion in a browser: make serve PORT=8501
	@$(PYTHON) -m components.serve $(OPTIONS)

##@ Run on a cluster

.PHONY: compile images upload submit schedule test-cluster sbom
compile: $(INSTALLED) ## Write pipeline.yaml, predict.yaml and tune.yaml: make compile GPU=4 IMAGES=images.json
	@$(foreach name,$(or $(PIPELINE),$(if $(OUTPUT),mnist,mnist predict tune)),$(PYTHON) -m pipeline compile --pipeline $(name) \
		$(if $(GPU),--gpus $(GPU)) $(if $(IMAGES),--images $(IMAGES)) $(OPTIONS) &&) true

images: ## Build the images, and push them: make images REGISTRY=registry.example/team TAG=v1
	@$(foreach name,REGISTRY TAG STEPS IMAGES,$(if $($(name)),$(name)="$($(name))")) docker/images.sh

upload: $(INSTALLED) ## Keep the compiled pipeline on a cluster as a version, and print its name: make upload HOST=http://localhost:8080
	@$(PYTHON) -m pipeline upload $(OPTIONS)

submit: $(INSTALLED) ## Run on a cluster: make submit HOST=http://localhost:8080 ARGS="--wait"
	@$(PYTHON) -m pipeline submit $(OPTIONS)

schedule: $(INSTALLED) ## Run on a cluster every day at 03:00 UTC, or at CRON: make schedule ARGS="-p destination=gs://..."
	@$(PYTHON) -m pipeline schedule --cron $(call quoted,$(CRON)) $(OPTIONS)

test-cluster: $(INSTALLED) ## Try what is promised on an installation: make test-cluster HOST=http://localhost:8080
	@$(PYTHON) -m tests.cluster $(OPTIONS)

sbom: $(DEVELOPED) ## Write the bill of materials of each image to build/sbom, as CycloneDX
	@mkdir -p build/sbom
	@PATH=$(BIN):$$PATH docker/locks.sh build/locks
	@for step in $$(docker/targets.sh); do \
		$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header \
			--python-version 3.11 --python-platform x86_64-manylinux_2_36 build/locks/$$step.txt build/locks/kfp.txt \
		| $(BIN)/uv tool run --quiet --from $(CYCLONEDX) cyclonedx-py requirements --output-reproducible \
			--output-file build/sbom/$$step.json - && echo "Wrote build/sbom/$$step.json" || exit 1; done

##@ Change it

.PHONY: forms nights lint format lock development release
forms: $(INSTALLED) ## Write some digits in every form that ingest reads, to try it: out/forms
	@$(PYTHON) -m bench.forms out/forms

nights: $(INSTALLED) ## Write six days of digits, one changed and one empty: make nights ARGS="--change transposed"
	@$(PYTHON) -m bench.nights out/nights $(ARGS)

lint: $(DEVELOPED) ## Check style, types and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@test ! -x $(BIN)/hadolint || $(BIN)/hadolint docker/Dockerfile
	@$(BIN)/shellcheck *.sh docker/*.sh tests/*.sh

format: $(DEVELOPED) ## Mend what the style check can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# uv.lock has every version; requirements.txt says the same for pip, what runs first and the rest below.
EXPORT = $(BIN)/uv export --quiet --frozen --no-default-groups --no-emit-project --no-annotate --no-header --extra all

lock: $(DEVELOPED) ## Resolve the dependencies anew: make lock ARGS=--upgrade
	@$(BIN)/uv lock --quiet --python $(PYTHON) $(ARGS)
	@$(EXPORT) >build/requirements.txt
	@{ echo "# Exported from uv.lock by make lock: pip install --require-hashes -r requirements.txt"; \
		cat build/requirements.txt; echo "# Tests, lints and push --export need these besides"; \
		$(EXPORT) --extra export --group dev | awk 'NR == FNR { seen[$$0] = 1; next } \
			/^[^ ]/ { on = !($$0 in seen) } on' build/requirements.txt -; } >requirements.txt

release: $(DEVELOPED) ## Make a release here, to be pushed by hand: make release VERSION=1.2.3
	@VENV=$(call quoted,$(VENV)) ./release.sh "$(VERSION)" $(NEXT)

development: $(DEVELOPED) ## Install what tests, lints and --export need beside what runs

##@ Prove it at length

.PHONY: fuzz test-kills test-tune-kills test-evaluate-kills kill-push test-seaweedfs kill-jobs test-faults test-histories test-cluster-faults test-containers test-install test-roots
fuzz: $(DEVELOPED) ## Draw many inputs for readers, manifests, addresses and routes: make fuzz FUZZ=10000
	@FUZZ=$(FUZZ) $(PYTHON) -m pytest -n auto --maxprocesses 4 -m fuzz $(TESTS)

test-kills: $(DEVELOPED) ## Prove that training killed twenty times ends with the same weights
	@KILLS=20 $(PYTHON) -m pytest tests/train/test_resume.py -k killed

test-tune-kills: $(DEVELOPED) ## Prove that a search of thirty trials killed three times has every finished one once
	@KILLS=3 TRIALS=30 $(PYTHON) -m pytest tests/tune/test_tune.py -k killed

test-evaluate-kills: $(DEVELOPED) ## Kill evaluate at twenty random moments
	@EVALUATE_KILLS=20 $(PYTHON) -m pytest tests/evaluate/test_evaluate.py -k killed

kill-push: $(DEVELOPED) ## Kill a push at thirty random moments, on disk and in a bucket
	KILLS=30 $(PYTHON) -m pytest tests/registry/conformance/test_kill.py tests/registry/conformance/test_removal.py -k "random_moments or any_moment" -s

test-seaweedfs: $(DEVELOPED) ## Run the tests of a registry on s3:// on SeaweedFS, Kubeflow's own store, with thirty kills
	S3_SERVER=seaweedfs KILLS=30 $(PYTHON) -m pytest tests/registry -k s3

kill-jobs: $(DEVELOPED) ## Kill an ingest and a predict at twenty random moments
	KILLS=20 $(PYTHON) -m pytest tests/jobs/test_kill.py -s

test-faults: $(DEVELOPED) ## Fail every call and request of every step once, and cut the power at each
	@FAULTS=all $(PYTHON) -m pytest -n auto --maxprocesses 4 -rP tests/faults

test-histories: $(DEVELOPED) ## Try two hundred histories of a registry on disk and on each bucket, with processes killed
	@HISTORIES=200 $(PYTHON) -m pytest -n auto --maxprocesses 4 tests/registry/conformance/test_histories.py

test-cluster-faults: $(DEVELOPED) ## Prove that make test-cluster finds each fault of an installation in miniature
	$(PYTHON) -m pytest -m installation tests/cluster/test_checks.py

test-containers: $(DEVELOPED) podman ## Build the images and run the pipeline in them (Debian, as root)
	@docker/with-podman.sh docker/test.sh $(PYTHON) -m pytest -m containers tests/e2e/test_containers.py

test-install: $(DEVELOPED) ## Install with pip alone into an environment that is thrown away
	@$(PYTHON) -m pytest -m install tests/test_install.py

test-roots: ## Type the first command on bare Debian machines: make test-roots SUITES="bookworm trixie" (as root)
	@tests/bare_roots.sh $(SUITES)

##@ Measure it

.PHONY: bench-size bench-local bench-imports bench-train bench-record bench-evaluate bench-ingest bench-predict bench-drift bench-causes bench-distributed bench-memory bench-accuracy bench-cnn bench-rates bench-scaling
bench-size: $(DEVELOPED) ## Count what there is to read, beside its budget: make bench-size BEFORE=REVISION
	@$(PYTHON) -m bench.size $(if $(BEFORE),--before $(BEFORE)) $(ARGS)

bench-local: $(DEVELOPED) ## Measure a whole run beside another revision's: make bench-local BEFORE=REVISION
	@$(PYTHON) -m bench.local --before $(BEFORE)

bench-imports: $(DEVELOPED) ## Measure every step's imports beside another revision's: make bench-imports BEFORE=REVISION
	@$(PYTHON) -m bench.imports --before $(BEFORE)

bench-train: $(DEVELOPED) ## Measure training beside other ways to do it: make bench-train PEERS=PYTHON
	@PEERS=$(or $(PEERS),$(PYTHON)) $(PYTHON) -m bench.train

bench-record: $(DEVELOPED) ## Measure the seconds to a precision beside others: make bench-record PEERS=PYTHON ARGS=--write
	@PEERS=$(or $(PEERS),$(PYTHON)) $(PYTHON) -m bench.record $(ARGS)

bench-evaluate: $(DEVELOPED) ## Measure evaluation beside Keras
	@$(PYTHON) -m bench.evaluate

bench-ingest: $(DEVELOPED) ## Measure reading every form of source: make bench-ingest ARGS=--forms
	@$(PYTHON) -m bench.ingest $(ARGS)

bench-predict: $(DEVELOPED) ## Measure predictions beside Keras and a plain loop: make bench-predict ARGS=--load
	@$(PYTHON) -m bench.predict $(ARGS)

bench-drift: $(DEVELOPED) ## Measure how often watch calls for somebody, with and without a reason
	@$(PYTHON) -m bench.drift

bench-causes: $(DEVELOPED) ## Count which causes of an alarm are named rightly: make bench-causes ARGS="--draws 10"
	@$(PYTHON) -m bench.causes $(ARGS)

bench-distributed: $(DEVELOPED) ## Measure one, two and four workers on this machine
	@$(PYTHON) -m bench.distributed

bench-scaling: $(DEVELOPED) ## Compute what more images and more machines would take, from what the docs have
	@$(PYTHON) -m bench.scaling

bench-memory: $(DEVELOPED) ## Measure memory as the data grows (Linux, 8 GB of disk)
	@$(PYTHON) -m bench.memory $(ARGS)

bench-cnn: $(DEVELOPED) ## Measure the convolutional network's rate beside Keras
	@$(PYTHON) -m bench.cnn

bench-accuracy: $(DEVELOPED) ## Measure accuracy over seeds and draw the curves of docs/training.md; some: make bench-accuracy ARGS=best
	@$(PYTHON) -m bench.accuracy $(ARGS)

bench-rates: $(DEVELOPED) ## Measure what the default rate reaches on images of other sizes and greys
	@$(PYTHON) -m bench.rates

##@ Install what tests need besides

.PHONY: services browser fake-gcs-server versitygw seaweedfs kserve-schema vertex-client serving-api prism flink-job-server podman
services: browser fake-gcs-server versitygw kserve-schema vertex-client serving-api prism flink-job-server ## All that tests need, but for SeaweedFS and podman
browser: ## Install headless Chromium, which the tests of pages need (Debian or Ubuntu, as root)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 \
		chromium chromium-driver >/dev/null; }

fake-gcs-server: ## Install the storage server that tests of gs:// talk to (needs go)
	GOBIN=$(BUILD_BIN) go install github.com/fsouza/fake-gcs-server@$(FAKE_GCS_SERVER)

seaweedfs: ## Build the server of make test-seaweedfs (needs go, and some eight minutes on two cores)
	@mkdir -p $(BUILD_BIN)
	@module=$$(go mod download -json github.com/seaweedfs/seaweedfs@$(SEAWEEDFS) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') \
		&& go build -C "$$module" -o $(BUILD_BIN)/weed ./weed

versitygw: ## Install the storage server that tests of s3:// talk to (needs go)
	GOBIN=$(BUILD_BIN) go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

kserve-schema: ## Fetch the schema that the KServe manifest is checked against (needs go)
	@mkdir -p build/kserve
	@module=$$(go mod download -json github.com/kserve/kserve@$(KSERVE) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') \
		&& install -m 644 "$$module"/config/crd/full/serving.kserve.io_inferenceservices.yaml build/kserve/

vertex-client: $(DEVELOPED) ## Install Vertex AI's client, which a test hands a compiled pipeline to
	@$(BIN)/uv venv --quiet --clear --python $(PYTHON) build/vertex
	@VIRTUAL_ENV=build/vertex $(BIN)/uv pip install --quiet "google-cloud-aiplatform[pipelines]==$(VERTEX)"

serving-api: $(DEVELOPED) ## Install TensorFlow Serving's messages, which a test reads the warm-up requests with
	@$(BIN)/uv pip install --quiet --no-deps --python $(PYTHON) --target build/serving tensorflow-serving-api==$(SERVING_API)

prism: ## Install Beam's portable runner, which a test of ingest sends its job to (needs go)
	GOBIN=$(BUILD_BIN) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

flink-job-server: ## Install Flink in Beam's job server, for a test of ingest (needs mvn and java 17)
	mvn --batch-mode --quiet --file tests/ingest/flink/pom.xml jar:jar

podman: ## Install podman, and what test-containers needs beside it (Debian, as root)
	@which podman mmdebstrap docker-registry >/dev/null || { apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 aardvark-dns buildah \
		docker-registry iptables mmdebstrap netavark podman runc uidmap >/dev/null; }

##@ Remove

.PHONY: clean clean-runs clean-registry
clean: ## Remove the environment, builds and caches; runs and published models stay
	rm -rf $(call quoted,$(VENV)) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

clean-runs: ## Remove every run in runs/
	rm -rf runs

clean-registry: ## Remove every published model in registry/
	rm -rf registry

.PHONY: help
help:
	@awk -F ':.*## ' '/^##@ / { printf "\n%s:\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

INSTALL = VENV=$(call quoted,$(VENV)) BASE_PYTHON=$(call quoted,$(BASE_PYTHON)) INSTALLER=$(INSTALLER) ./install.sh

$(INSTALLED):
	@$(INSTALL)
	@rm -f $(call quoted,$(VENV))/installed-* $(call quoted,$(VENV))/developed-* && touch "$@"

$(DEVELOPED): $(INSTALLED)
	@$(INSTALL) --development
	@touch "$@"
