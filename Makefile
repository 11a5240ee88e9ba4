# The commands of this project; each does its own set-up. See CONTRIBUTING.md.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# faiss-cpu and faiss-gpu both own the module `faiss`: an environment has one of them.
EXTRA ?= $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
OTHER_EXTRA := $(if $(filter gpu,$(EXTRA)),cpu,gpu)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: setup run test trial check format bench image-test lock clean

setup: $(VENV)/installed-$(EXTRA)

$(VENV)/installed-$(EXTRA): locks/$(EXTRA)-dev.txt pyproject.toml
	@echo "Installing the locked packages into $(VENV) (some gigabytes: torch brings CUDA) ..."
	$(PYTHON) -m venv $(if $(wildcard $(VENV)/installed-$(OTHER_EXTRA)),--clear) $(VENV)
	$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement locks/$(EXTRA)-dev.txt
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Without settings: the shipped checkpoint, scored on the demo set, and the demo gallery in .data. Someone's own checkpoint
# is scored on what SANET_HELDOUT names, or on nothing; it or someone's own data folder gets no demo vehicles.
DEMO := demo
run: setup
ifeq ($(SANET_CHECKPOINT)$(SANET_DATA_DIR),)
	@echo "The demo gallery is in .data; SANET_DATA_DIR=FOLDER make run starts without it."
	@PYTHON=$(BIN)/python deploy/enrol-demo $(DEMO) .data
endif
	@echo "SANet Retrieval: http://localhost:$${SANET_PORT:-8000}/docs  (Ctrl-C stops it)"
	@$(BIN)/python -m service

# The service's tests, which mostly wait for processes, beside all others, which mostly compute. The others come in two parts: one
# process for all of them would keep the memory of all. Each in one thread: OpenMP's threads wait for each other busily, and
# two times two on two cores are many times as slow.
PYTEST := OMP_NUM_THREADS=1 FAISS_OF_OTHER_EXTRA=build/faiss-$(OTHER_EXTRA) MILVUS_LITE=build/milvus-lite $(BIN)/python -m pytest
PART_2 := tests/training tests/service/page
PART_1 := $(filter-out tests/service/ tests/training/ tests/__pycache__/,$(wildcard tests/*/)) $(wildcard tests/test_*.py)
test: setup build/faiss-$(OTHER_EXTRA)/installed build/milvus-lite/installed
	@echo "The service's tests run meanwhile; what they say follows at the end."
	@$(PYTEST) tests/service --ignore tests/service/page > build/test-service.log 2>&1 & service=$$!; \
	  $(PYTEST) $(PART_1); part_1=$$?; \
	  $(PYTEST) $(PART_2); part_2=$$?; \
	  wait $$service; service=$$?; \
	  cat build/test-service.log; \
	  exit $$((part_1 || part_2 || service))

# The FAISS of the other extra, beside the environment, so that both are tested with this torch.
build/faiss-$(OTHER_EXTRA)/installed: locks/faiss-$(OTHER_EXTRA).txt | setup
	rm -rf $(@D)
	$(BIN)/python $(PIP_INSTALL) --no-deps --require-hashes --target $(@D) --requirement $<
	@touch $@

# The Milvus of the tests: a server in an environment of its own, because it brings a FAISS of its own.
build/milvus-lite/installed: locks/milvus-lite.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python $(PIP_INSTALL) --require-hashes --requirement $<
	@touch $@

# The long campaigns; `make test` runs short, seeded versions of them.
trial: setup build/milvus-lite/installed
	MILVUS_LITE=build/milvus-lite $(BIN)/python -m pytest --trial -m trial

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Real frames are not part of the project: FRAMES names a folder of them, TRUNK the weights of a ResNet-50 v1.
FRAMES ?= ../shared/uav_frames
TRUNK ?= ../shared/weights/resnet50_imagenet_conv1_layer1-3.pth
bench: setup
	$(BIN)/python -m benchmarks.embed
	$(BIN)/python -m benchmarks.service
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.filters
	$(BIN)/python -m benchmarks.large_gallery --data-dir build/large-gallery --quick
	$(BIN)/python -m benchmarks.synthetic --trunk-weights $(TRUNK) --stride 1x1 --bn-eps 1.001e-5
	$(BIN)/python -m benchmarks.real_vehicles --frames $(FRAMES) --checkpoint shipped=demo/sanet.safetensors
	$(BIN)/python -m benchmarks.uav_frames --frames $(FRAMES) --trunk-weights $(TRUNK) --stride 1x1 --bn-eps 1.001e-5

image-test: setup
	$(BIN)/python deploy/image_test.py

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

# UPGRADE=--upgrade takes newer versions; without it only what pyproject.toml demands changes.
lock: setup
	for extra in cpu gpu; do \
	  $(COMPILE) pyproject.toml --extra $$extra --extra train --extra tracing --extra cluster --extra export --extra synthetic --extra dev --output-file locks/$$extra-dev.txt && \
	  $(COMPILE) pyproject.toml --extra $$extra --extra train --extra tracing --extra cluster --constraint locks/$$extra-dev.txt --output-file locks/$$extra.txt && \
	  echo faiss-$$extra | $(COMPILE) - --constraint locks/$$extra-dev.txt --no-emit-package numpy \
	    --no-emit-package packaging --output-file locks/faiss-$$extra.txt || exit 1; \
	done
	printf "milvus-lite==3.2.2\npymilvus\n" | $(COMPILE) - --constraint locks/cpu-dev.txt --output-file locks/milvus-lite.txt

clean:
	rm -rf $(VENV) build
