.PHONY: help demo test coverage lint docs bench minimum api dist clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE # the tests start a hundred commands: compile the sources once, not in each

help: ## List the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(VENV)/.demo ## Set up .venv, train on the bundled penguins, write a model and a report to demo/
	@mkdir -p demo
	$(BIN)/chainrule train examples/data/penguins.csv --target species --out demo/penguins.chainrule --report demo/penguins.html

test: $(VENV)/.dev ## Set up .venv and run the tests, but for the slow ones
	$(BIN)/python -m pytest

coverage: $(VENV)/.dev ## Run all tests, with the slow ones, and list the lines that none of them runs
	$(BIN)/python -m pytest -m "" --cov

lint: $(VENV)/.dev ## Check format, style, spelling, types, imports between packages and workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet --persona pedantic .github
	@if command -v actionlint; then actionlint; else echo "skipped actionlint: not installed"; fi

docs: $(VENV)/.dev ## Build the site in docs/_build/html/, running every example
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.dev ## Run the benchmarks next to other installed libraries and write benchmarks/results/
	for script in $(filter-out %/harness.py,$(wildcard benchmarks/*.py)); do \
		echo; echo "== $$script"; env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python $$script || exit 1; done

minimum: $(VENV)/.release ## Run all tests with the oldest supported version of every dependency, in .venv-minimum
	$(BIN)/uv venv --clear --python "$$($(BIN)/python -c 'import sys; print(sys.executable)')" $(VENV)-minimum
	$(BIN)/uv pip install --python $(VENV)-minimum --resolution lowest-direct --editable '.[dev]'
	$(VENV)-minimum/bin/python -m pytest -o filterwarnings= $(TESTS) # old packages warn about newer ones

api: $(VENV)/.dev ## Write the list of public names, tests/public_api.txt
	$(BIN)/python tests/public_api.py

dist: $(VENV)/.release ## Build the wheel and the source distribution in dist/, check them, and try the wheel
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python .ci/try_wheel.py

clean: ## Remove everything the other commands created
	rm -rf $(VENV) $(VENV)-minimum demo examples/output docs/_build docs/_drawn docs/gallery build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# The set-up is repeated when pyproject.toml changes.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required, got " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(PIP) install --quiet --no-compile --editable '.[cli]'  # Python compiles what the demo uses, a tenth
	touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	$(PIP) install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

$(VENV)/.release: $(VENV)/.python pyproject.toml
	$(PIP) install --quiet --editable '.[release]'
	touch $@
