# The two commands of the README, and the ones developers use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test format screenshots train bench-serving bench-optimiser bench-history bench-drain faults soak clean

demo: $(VENV)/.installed
	@$(BIN)/edgeconsole demo

test: $(VENV)/.installed-dev
	@scripts/check

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

screenshots: $(VENV)/.installed-dev
	@$(BIN)/python scripts/screenshots.py

train: $(VENV)/.installed-dev
	@$(BIN)/python scripts/train_demo.py

bench-serving:
	@$(MAKE) --no-print-directory VENV=.venv-bench .venv-bench/.installed-bench
	@.venv-bench/bin/python -m benchmarks.serving $(BENCH)

bench-optimiser: $(VENV)/.installed-realdata
	@$(BIN)/python -m benchmarks.optimizer $(BENCH)

bench-history: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks.history $(BENCH)

bench-drain: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks.drain $(BENCH)

faults: $(VENV)/.installed-dev
	@$(BIN)/python -m faults --page docs/faults.md $(FAULTS)

soak: $(VENV)/.installed-dev
	@EDGECONSOLE_SOAK_S=120 $(BIN)/python -m pytest -s tests/e2e/test_load.py -k accounted_for

clean:
	rm -rf $(VENV) .venv-bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "EdgeConsole needs Python 3.11 or newer, $(PYTHON) is %d.%d: try make PYTHON=python3.11" % v[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once; about a minute)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) for development (once; some minutes)"
	@$(PIP) -e '.[torch,train,dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-realdata: pyproject.toml constraints.txt $(VENV)/.installed-dev
	@$(PIP) -e '.[torch,train,realdata]'
	@touch $@

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) with the peers (once; some minutes)"
	@$(PIP) -e '.[torch,bench]'
	@touch $@
