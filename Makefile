# make demo   sets up and captions the bundled images
# make test   sets up and passes the tests
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3.11
PY := .venv/bin/python
# cpu or gpu; a machine with an NVIDIA driver gets the CUDA build of vLLM. Override: make setup DEVICE=cpu
DEVICE ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
STAMP := .venv/.setup-$(DEVICE)
# All that the project needs on a CPU, into the environment of the Python $(1).
define install_for_cpu
	@$(1) -m pip install -q --disable-pip-version-check torch==2.13.0
	@$(1) -m pip install -q --disable-pip-version-check --no-deps -r requirements/cpu.txt
endef

.PHONY: setup
setup: $(STAMP)

$(STAMP): requirements/$(DEVICE).txt pyproject.toml
	@echo "Setting up .venv for $(DEVICE); once, a few minutes."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is not there or older than 3.11. Name another: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
ifeq ($(DEVICE),gpu)
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps -r requirements/gpu.txt
	@$(PY) -c 'import torch; assert torch.version.cuda, torch.__version__; print("torch", torch.__version__, "for CUDA", torch.version.cuda)' || { echo "This torch has no CUDA: remove .venv and set up again."; exit 1; }
	@$(PY) -c 'import torchvision; print("torchvision", torchvision.__version__, "operators load")' || { echo "torchvision does not fit torch: remove .venv and set up again."; exit 1; }
else
	$(call install_for_cpu,$(PY))
endif
	@$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What follows from the registries: the scripts of jobs/, the schemas of config files, the tables of README and docs.
.PHONY: renew
renew: setup
	@$(PY) -m pipelines.commands.scripts
	@$(PY) -m pipelines.commands.schema docs/schemas
	@$(PY) -m benchmarks.tables

MODEL := examples/nano/checkpoint
.PHONY: demo
demo: setup
	@$(PY) -m examples.demo.run

.PHONY: test test-slow test-s3 chaos lint lock
# Two at a time, since jobs mostly wait for Ray and engines to start; one on a GPU, whose memory an engine takes whole.
# In the order of the folders, or the files with few and slow tests would come last and leave one of the two idle.
test: setup lint emulators
	@$(PY) -m pytest -q -n $(if $(filter gpu,$(DEVICE)),0,2) --dist loadfile --no-loadscope-reorder

# Azure Blob Storage for the tests, where there is npm; without it they skip that store, with this reason.
AZURITE := .venv/azurite/node_modules/azurite/package.json
.PHONY: emulators
emulators: setup
	@test -e $(AZURITE) || ! command -v npm >/dev/null 2>&1 || npm install --silent --no-audit --no-fund --prefix .venv/azurite azurite@3.37.0 >/dev/null 2>&1 || echo "Azurite could not be installed: tests skip az://."

test-slow: setup
	@$(PY) -m pytest -q -m slow

# Against the object store at AWS_ENDPOINT_URL, with the usual AWS_* variables.
test-s3: setup
	@test -n "$${AWS_ENDPOINT_URL:-}" || { echo "AWS_ENDPOINT_URL is not set: start an object store and export its AWS_* variables."; exit 1; }
	@TEST_S3=real $(PY) -m pytest -q tests/jobs/test_caption_cluster.py

# Everything that can happen to a job, at random times, on a cluster of three nodes on this machine; half an hour. With
# TEST_S3=real against the store at AWS_ENDPOINT_URL.
# CHAOS="--shards 4 --rows 140 --faults 6": a job in parts.
chaos: setup
	@$(PY) -m tests.chaos $(CHAOS)

# The wheel in an environment of its own, used in an empty folder without this one on the path: a command, an own task, and
# a notebook.
.PHONY: wheel-test
wheel-test:
	@rm -rf build/wheel && $(PYTHON) -m venv build/wheel/env && mkdir build/wheel/empty
	$(call install_for_cpu,build/wheel/env/bin/python)
	@build/wheel/env/bin/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	@build/wheel/env/bin/pip install -q --disable-pip-version-check --no-deps build/wheel/*.whl
	@build/wheel/env/bin/pip install -q --disable-pip-version-check nbclient ipykernel polars
	@cp examples/own_task.py build/wheel/empty/mine.py && cp examples/dataset.ipynb build/wheel/empty
	@cd build/wheel/empty && ../env/bin/internvl-batch caption --input $(CURDIR)/examples/demo/images --output captions --model $(CURDIR)/$(MODEL)
	@cd build/wheel/empty && ../env/bin/internvl-batch run --task mine:colours --input $(CURDIR)/examples/demo/images --output colours --model $(CURDIR)/$(MODEL)
	@cd build/wheel/empty && MODEL=$(CURDIR)/$(MODEL) IMAGES=$(CURDIR)/examples/demo/images ../env/bin/jupyter-execute --timeout=600 dataset.ipynb

lint: setup
	@.venv/bin/ruff check -q .
	@.venv/bin/ruff format -q --check .
	@.venv/bin/mypy
	@mkdir -p .cache; .venv/bin/lint-imports --no-logo --cache-dir .cache/imports > .cache/imports.txt || { cat .cache/imports.txt; exit 1; }

# The whole pipeline against ray.data.llm and vLLM alone, on an otherwise idle machine; six minutes on two cores.
.PHONY: bench bench-memory bench-parity bench-tasks
bench: setup
	@$(PY) -m benchmarks.bench_pipeline

# Our rendered prompts and tiles against vLLM's own processor, token by token.
bench-parity: setup
	@$(PY) -m benchmarks.bench_parity

# Three tasks over the same images in one pass, against three passes and against one task alone.
bench-tasks: setup
	@$(PY) -m benchmarks.bench_tasks

# Real shapes with dummy weights, on a GPU; without one the script checks itself on the CPU, three minutes.
.PHONY: bench-gpu
bench-gpu: setup
	@$(PY) -m benchmarks.bench_gpu

bench-memory: setup
	@$(PY) -m benchmarks.bench_memory

# nano-InternVL on sets drawn in the formats of RefCOCO and DocVQA, by jobs/evaluate_model.py and in plain torch.
.PHONY: bench-text-layers
bench-text-layers: setup
	@$(PY) -m benchmarks.bench_text_layers

.PHONY: bench-evaluation
bench-evaluation: setup
	@$(PY) -m benchmarks.bench_evaluation

# Images, videos, documents and fetching, each on one core, against the model cards' code and the bare decoders.
.PHONY: bench-media bench-sources bench-resume bench-tables
bench-media: setup
	@for part in media video document fetch; do $(PY) -m benchmarks.bench_$$part; done
	@$(PY) -m benchmarks.tables

# nano-InternVL through the whole pipeline and in a plain loop, then what mistakes in the pipeline do to it; ten minutes.
.PHONY: accuracy
accuracy: setup
	@$(PY) -m benchmarks.accuracy
	@$(PY) -m benchmarks.mutations
	@$(PY) -m benchmarks.tables

# Loops found and other texts left alone, over the labelled texts and some thousand installed files; one minute.
.PHONY: bench-repetition
bench-repetition: setup
	@$(PY) -m benchmarks.bench_repetition

bench-sources: setup
	@$(PY) -m benchmarks.bench_sources

# Vectors: preparing pictures, a whole job against a plain torch loop, and a linear probe; six minutes.
.PHONY: bench-embed
bench-embed: setup
	@$(PY) -m benchmarks.bench_embed
	@$(PY) -m benchmarks.tables

# Memory and speed of exports over a million rows; 2 GB in /tmp, half an hour on two cores.
.PHONY: bench-exports
bench-exports: setup
	@$(PY) -m benchmarks.bench_exports
	@$(PY) -m benchmarks.tables

# Ten million finished rows in 10,000 files; 2 GB in /tmp, a few minutes.
bench-resume: setup
	@$(PY) -m benchmarks.bench_resume

# A year of nights, each with one per cent new documents, against reading every document again; ten minutes.
.PHONY: bench-nights
bench-nights: setup
	@$(PY) -m benchmarks.bench_nights

# What the blank guard finds of 200 pages of each kind, and what it takes for blank; half an hour.
.PHONY: bench-blank
bench-blank: setup
	@$(PY) -m benchmarks.bench_blank

# What a judge that sees the pictures finds of wrong captions and swapped pictures; three minutes.
.PHONY: bench-judge
bench-judge: setup
	@$(PY) -m benchmarks.bench_judge

# What rules and measures find of planted faults, and what of them is left in the export; four minutes.
.PHONY: bench-quality
bench-quality: setup
	@$(PY) -m benchmarks.bench_quality

# What a person waits for in the viewer over a million units; two minutes.
.PHONY: bench-viewer
bench-viewer: setup
	@$(PY) -m benchmarks.bench_viewer

# What feeding an engine costs: the pipeline against the same engine fed from memory; nine minutes on two cores.
.PHONY: bench-feed bench-scale bench-rows
bench-feed: setup
	@$(PY) -m benchmarks.bench_feed
	@$(PY) -m benchmarks.tables

# Up to 64 stand-ins for engines on a Ray cluster of fake nodes on this machine; 25 minutes, 16 GiB.
bench-scale: setup
	@$(PY) -m benchmarks.bench_batching
	@$(PY) -m benchmarks.bench_scale
	@$(PY) -m benchmarks.bench_distance
	@$(PY) -m benchmarks.tables

# Whether the cost of a row grows with the manifest; ten minutes. Ten million new rows, 48: --new 10000000 --done --part.
bench-rows: setup
	@$(PY) -m benchmarks.bench_rows
	@$(PY) -m benchmarks.tables

# Renews requirements/*.txt from pyproject.toml. The overrides are why the lists are installed with --no-deps.
lock: setup
	@$(PY) -m pip install -q uv
	@mkdir -p .cache; printf "%s ; sys_platform == 'never'\n" torchvision torchaudio torchcodec opencv-python > .cache/overrides.txt
	@.venv/bin/uv pip compile -q pyproject.toml --extra cpu --extra dev --override .cache/overrides.txt \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate -o .cache/cpu.txt
	@sed -i '/^torch/d' .cache/overrides.txt
	@.venv/bin/uv pip compile -q pyproject.toml --extra gpu --extra dev --override .cache/overrides.txt \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate -o .cache/gpu.txt
	@for list in cpu gpu; do { grep '^#' requirements/$$list.txt; cat .cache/$$list.txt; } > .cache/new.txt; mv .cache/new.txt requirements/$$list.txt; done
	@sed -i -E '/^(torch|triton)(==|\+)/d' requirements/cpu.txt
# Two equals signs also match 2.13.0+cpu, which sorts above it where an index has both.
	@sed -i -E 's/^torch==/torch===/' requirements/gpu.txt
