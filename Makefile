# `make` alone lists the targets. A fresh machine needs python3 (3.11 or newer), make and git.

VENV ?= .venv
# The package index that torch comes from; empty: pip's own setting.
TORCH_INDEX ?=
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)

BIN := $(VENV)/bin
STAMP := $(VENV)/.lock-installed
TORCH := $(shell grep '^torch==' requirements.lock)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow test-image lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create the environment from the lock file (again when the lock changed)

$(STAMP): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer was not found." \
		"Install it, or name it: make setup PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Setting up $(VENV) (some minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@$(BIN)/pip install --quiet -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Run the demo grid on generated data and print its tables (minutes)
	$(BIN)/python -m mo_hpc.launch grid=demo executor.collect=false
	$(BIN)/python -m mo_hpc.collect grid=demo

test: $(STAMP) ## Run the tests (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest -m "not slow and not slurm_slow and not image"

test-slow: $(STAMP) ## Run what takes longer: whole grids, slow faults, several nodes
	$(BIN)/python -m pytest -m "(slow or slurm_slow) and not image"

test-image: $(STAMP) ## Run what takes an image: MO_HPC_IMAGE=FILE make test-image
	$(BIN)/python -m pytest -m image

lint: $(STAMP) ## Check style, format, types and shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck .ci/run containers/build containers/check containers/install jobs/*
	$(BIN)/mypy

format: $(STAMP) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and caches; runs and data stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
