# Two commands matter: `make app` runs the dashboard, `make test` checks everything. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501

.DEFAULT_GOAL := help
.PHONY: help app test lint pages card benchmarks browser clean

help:
	@echo "make app    install what is needed and run the dashboard (PORT=$(PORT))"
	@echo "make test   install what is needed and run every check and test"
	@echo "make benchmarks  compare the twin with other models, and with the truth (an hour)"
	@echo "make pages  regenerate the generated pages in docs/"
	@echo "make clean  remove the environment and caches"

app: $(VENV)/.runtime
	@$(BIN)/python -m twin serve --port $(PORT)

test: $(VENV)/.development browser lint
	@echo "gemina: running the tests"
	@$(BIN)/python -m pytest

lint: $(VENV)/.development
	@echo "gemina: checking style, types and the direction of imports"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

pages: $(VENV)/.development
	@$(BIN)/python -m data.dictionary_page --out docs/dictionary.md
	@$(BIN)/python -m data.synthetic.report --out docs/synthetic.md
	@$(BIN)/python -m data.evidence.page --out docs/evidence.md

card: $(VENV)/.development
	@$(BIN)/python -m twin.card --out docs/model-card-demonstration.md

benchmarks: $(VENV)/.development
	@$(BIN)/python -m benchmarks.survival
	@$(BIN)/python -m benchmarks.truth --set select=False
	@$(BIN)/python -m benchmarks.behaviour
	@$(BIN)/python -m benchmarks.policy
	@$(BIN)/python -m benchmarks.policy_truth --histories 4

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gemina: Python 3.11 or later is needed; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python"; exit 1; }
	@echo "gemina: creating the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(BIN)/python
	@echo "gemina: installing the packages (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt requirements.txt | $(BIN)/python
	@echo "gemina: installing the packages for development (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@ $(VENV)/.runtime

# The browser tests drive the system's Chromium; they say so and are skipped where there is none.
browser:
	@command -v chromium >/dev/null 2>&1 || { \
		if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
			echo "gemina: installing the browser for the tests (chromium)"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-dejavu-core >/dev/null; \
		else \
			echo "gemina: no chromium here; the browser tests will be skipped"; \
		fi; }

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
