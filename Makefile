# One command for each thing that a developer does; `make help` lists them. All of them share one virtual environment.

PYTHON ?= python3
VENV ?= .venv
# Test processes at a time: one more than the two processors of CI, because tests with processes wait as often as they
# work. 0 runs the tests in the foreground, where a debugger works.
JOBS ?= 3
# More arguments for pytest, or for the benchmarks: make quick ARGS='tests/core -x', make bench ARGS='action --quick'
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/pytest -n $(JOBS) --dist worksteal
# Stamps: when what each target needs was last installed. The developers' set contains the users'.
CORE := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
DOCS := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.PHONY: help demo test quick soak check lint types imports tests coverage format docs bench figures clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 - \2/p' $(firstword $(MAKEFILE_LIST))

demo: $(CORE) ## install zproc and run the program of the README
	$(BIN)/python examples/cookies.py

test: check tests ## every check and every test, as CI runs them

quick: $(DEV) ## the tests that take no time
	$(PYTEST) -m 'not slow and not soak' $(ARGS)

soak: $(DEV) ## the tests that take an hour
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -m soak --timeout 7200 -o faulthandler_timeout=7000 $(ARGS)

check: lint types imports ## every check, no test

lint: $(DEV) ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

imports: $(DEV) ## the import contracts of pyproject.toml
	$(BIN)/lint-imports

tests: $(DEV) ## every test but the soak tests
	$(PYTEST) $(ARGS)

coverage: $(DEV) ## the tests, and what they leave uncovered
	$(PYTEST) --cov --cov-report=term $(ARGS)

format: $(DEV) ## mend style and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(BENCH) ## measure zproc beside its peers; results and pictures go to build/benchmarks
	$(BIN)/python benchmarks/runner.py --json build/benchmarks/results.json --pictures build/benchmarks $(ARGS)

figures: $(BENCH) ## measure everything on a machine at rest, for the documents
	$(BIN)/python benchmarks/runner.py --json docs/benchmarks/results.json --pictures docs/benchmarks
	$(BIN)/python benchmarks/stages.py --into docs/benchmarks/results.json
	$(BIN)/python benchmarks/tables.py

docs: $(DOCS) ## the documentation, into docs/_build; warnings and dead links are errors
	$(BIN)/python docs/drawings.py --check
	$(BIN)/sphinx-build -q -E -a -W --keep-going -b html docs docs/_build
	$(BIN)/python docs/links.py docs/_build
	@echo 'open docs/_build/index.html'

clean: ## remove everything that can be made again, the virtual environment included
	rm -rf $(VENV) build dist docs/_build .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CORE): pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $(CORE) $@

$(BENCH): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[bench]'
	@touch $(CORE) $@

$(DOCS): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[docs]'
	@touch $(CORE) $@

# Half an environment would look like a whole one to the next run, so a failure takes it away.
$(BIN)/python:
	@command -v '$(PYTHON)' > /dev/null || { \
		echo "zproc needs Python 3.11 or newer, and there is no '$(PYTHON)' here; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "zproc needs Python 3.11 or newer, and '$(PYTHON)' is $$('$(PYTHON)' -V 2>&1); name another: make PYTHON=/path/to/python" >&2; exit 1; }
	'$(PYTHON)' -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
