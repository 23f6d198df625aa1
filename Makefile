VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
PEERS := .venv-peers
ARGS ?=
export TAILMOL_TABLES ?= $(CURDIR)/results/tables

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types format wheel docs peers bench results

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install the pinned packages
$(STAMP): pyproject.toml constraints.txt
	@echo "Installing the pinned packages into $(VENV), which takes some minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# A new pip resolves the pins in two thirds of the time that the one of Python 3.11 takes.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	@# Without the warning of an editable installation, which nobody who reads it can act on.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@# Its requirement of an older numpy is not needed for the one file that tests read: W&B's schema of sweeps.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps sweeps
	@# A torch for GPUs brings the Triton that it needs; elsewhere Triton's interpreter runs the GPU kernel in tests.
	$(BIN)/python -c "import triton" 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps triton==3.6.0
	touch $(STAMP)

run: setup ## train, test and report on the bundled drugs (ARGS="--trainer.max_epochs 5" to change a setting)
	$(BIN)/lightning fit $(ARGS)

test: setup ## all tests (ARGS="-m 'not slow'" for the quick ones)
	@# One thread for each process: threads that wait for a core spin, and cost more than they gain. Numba, which UMAP
	@# uses, sets the number of threads of PyTorch to its own.
	@# Bytecode is kept also where the environment forbids it: hundreds of processes import the project.
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

lint: setup ## check style, and that imports point down
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: setup ## check types
	$(BIN)/mypy

format: setup ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

wheel: setup ## build dist/*.whl, which pip installs without this folder
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

docs: setup ## build the documentation site in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

peers: $(PEERS)/.installed ## create .venv-peers with the projects that bench compares with
$(PEERS)/.installed: benchmarks/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	touch $@

bench: $(VENV)/.bench peers ## speed and memory against other projects; an hour on two cores
	$(BIN)/python -m benchmarks.featurize
	$(BIN)/python -m benchmarks.train_step
	$(BIN)/python -m benchmarks.loader
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.loop
	$(BIN)/python -m benchmarks.subclusters
	$(BIN)/python -m benchmarks.recluster
	$(BIN)/python -m benchmarks.contrastive_step
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.contrast_processes
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.predict
	$(BIN)/python -m benchmarks.overhead
$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	touch $@

TABLES := $(foreach table,uspto_50k hiv drugbank,$(addprefix $(TAILMOL_TABLES)/$(table),.csv _6000.csv))
GRIDS := comparison ablation failure_signatures central_claim comparison_samples full_tables ensembles
ifdef QUICK
results: setup ## the tables of docs/results.md: some nights on two cores; QUICK=1: minutes, on bundled data
	$(BIN)/lightning benchmark --config benchmark/quick.yaml
	$(BIN)/python -m benchmarks.peer_classifiers --config benchmark/quick.yaml --peers logistic forest
	$(BIN)/lightning benchmark --config benchmark/quick.yaml --tables-only
else
results: setup peers $(TABLES)
	for grid in $(GRIDS); do $(BIN)/lightning benchmark --config benchmark/$$grid.yaml || exit 1; done
	for grid in comparison comparison_samples full_tables ensembles; do \
		$(BIN)/python -m benchmarks.peer_classifiers --config benchmark/$$grid.yaml \
		&& $(BIN)/lightning benchmark --config benchmark/$$grid.yaml --tables-only || exit 1; done
	$(BIN)/python -m benchmarks.central_claim --config benchmark/central_claim.yaml
	$(BIN)/python -m scripts.update_results
endif
$(TAILMOL_TABLES)/%_6000.csv:
	$(BIN)/python -m benchmarks.sample_table $* --label Y --rows 6000 --output $@
$(TAILMOL_TABLES)/%.csv:
	$(BIN)/python -m benchmarks.sample_table $* --label Y --output $@
