# `make` alone prints what there is; each target installs what it is missing.
PYTHON ?= python3
BIN := .venv/bin
PREPARE := $(PYTHON) .ci/prepare.py
WITH_SERVICES := $(BIN)/python tests/services.py
VIEWER = $(patsubst %/index.html,%,$(wildcard .venv/viewer/index.html))
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help viewer demo test test-long lint format bench upgrade clean package dev

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: package viewer ## make sample images, take them in, serve them and print where to look
	@IMAGING_FHIR_VIEWER_DIR="$(VIEWER)" $(BIN)/imaging-fhir demo

test: dev ## run all tests but the long ones, on SQLite and PostgreSQL, with every client
	@$(PREPARE) tools
	@$(WITH_SERVICES) --in-memory $(PYTEST) -m "not long"

test-long: dev ## run all tests, soaks and fuzzing too
	@$(PREPARE) tools
	@$(WITH_SERVICES) $(PYTEST) --hypothesis-profile=searching

lint: dev ## check style (ruff) and types (mypy)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: dev ## rewrite the code in the one style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: dev ## measure ingest, reads and searches, and how they grow, on SQLite and PostgreSQL
	@$(PREPARE) tools
	@$(WITH_SERVICES) $(BIN)/python -m benchmarks

upgrade: dev ## pin the newest versions that pyproject.toml allows; then run the tests
	@$(BIN)/pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	@$(BIN)/pip freeze --exclude-editable > constraints.txt

clean: ## remove everything that make made, but not imaging-data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -prune -exec rm -rf {} +

viewer:
	@$(PREPARE) viewer

package:
	@$(PREPARE) venv

dev:
	@$(PREPARE) venv dev
