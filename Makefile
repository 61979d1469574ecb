# crossfade: `make demo` and `make test` do all of their own set-up and are safe to run again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests wait more than they compute: two workers, each with servers of its own.
WORKERS ?= 2
RUN_TESTS := $(BIN)/pytest -q -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup servers postgis demo test test-matrix soak check lint kernel clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "crossfade needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing; install it with: apt-get install python3-venv"; exit 1; }
	@echo "installing Python packages into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(STAMP) kernel ## Virtual environment, Python packages, compiled decoder

kernel: $(STAMP)
	@$(BIN)/python hatch_build.py --inplace

servers: setup
	@$(BIN)/python -m servers provision mariadb-10.11 mysql-9.7 postgres-15 postgres-18

postgis: ## PostGIS for the PostgreSQL 15 of this machine (Debian, Ubuntu; 35 MB): tests that need it are skipped without
	@apt-get install -y -q --no-install-recommends postgresql-15-postgis-3

demo: setup ## A legacy shop under traffic is copied, streamed, verified: everything on this machine, nothing left behind
	@$(BIN)/python -m servers provision mariadb-10.11 postgres-15
	@$(BIN)/crossfade demo $(DEMO)

test: servers lint ## Everything a contributor should run: MariaDB 10.11, MySQL 9.7, PostgreSQL 15 and 18
	@$(RUN_TESTS) -m "not slow and not matrix and not soak" $(PYTEST)

test-matrix: servers ## Adds MySQL 5.6, PostgreSQL 16 and 17 and the long cases
	@$(BIN)/python -m servers provision all
	@$(RUN_TESTS) --matrix -m "(slow or matrix) and not soak" $(PYTEST)

soak: servers ## The proofs at full size, one at a time: tens of minutes, for a quiet machine
	@$(BIN)/pytest -q -m soak $(PYTEST)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

check: lint ## The fast loop: lint, types, layers, unit tests; every other test is imported at least
	@$(BIN)/pytest -q --collect-only --matrix > $(VENV)/.collected || { tail -40 $(VENV)/.collected; exit 1; }
	@$(RUN_TESTS) tests/unit $(PYTEST)

clean: ## Remove the virtual environment and build output
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
