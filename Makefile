.PHONY: demo test lint docs bench clean help
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

help: ## Show what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(VENV)/.demo ## Set everything up, train on the bundled penguins, write a model and a report to demo/
	@mkdir -p demo
	$(BIN)/chainrule train examples/data/penguins.csv --target species --out demo/penguins.chainrule --report demo/penguins.html

test: $(VENV)/.dev ## Set everything up and run the tests
	$(BIN)/python -m pytest --cov

lint: $(VENV)/.dev ## Check format, style, types and the floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev ## Build the site into docs/_build/html/, every example run
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.dev ## Measure, side by side with what is installed, and write benchmarks/results/
	for script in $(filter-out %/harness.py,$(wildcard benchmarks/*.py)); do \
		echo; echo "== $$script"; env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python $$script || exit 1; done

clean: ## Remove what the other commands made
	rm -rf $(VENV) demo examples/output docs/_build docs/_drawn docs/gallery build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Set-up runs again when pyproject.toml changes.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(PIP) install --quiet --editable '.[cli]'
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	$(PIP) install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo
