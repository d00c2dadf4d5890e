# One virtual environment for everything: `make demo` needs the package and its pose extra,
# the rest its development extra. A stamp file per extra makes repeats instant.
PYTHON ?= python3
DEMO_ARGS ?=
# Most of the time goes into compiling, which takes one core a test; a worker grows to 6 GB.
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
FULLSIZE_ARGS ?=
REPORT_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: help demo test test-all lint report fullsize clean

help:
	@echo 'make demo      install the package, fetch the pose model and animate a built-in misaligned'
	@echo '               case into out/demo'
	@echo '               (DEMO_ARGS=--quick for a short run)'
	@echo 'make test      install the development extra and run the quick tests, in minutes'
	@echo '               (PYTEST_ARGS=...)'
	@echo 'make test-all  run the slow tests too, those on the original programs among them'
	@echo 'make lint      check style, formatting and types'
	@echo 'make report    measure the built-in model on configs/splits and write docs/results.md'
	@echo '               (hours on two cores; a stopped run goes on; REPORT_ARGS=...)'
	@echo 'make fullsize  convert random weights of real size and denoise once; takes 22 GB of disk'
	@echo '               and up to 20 GiB of memory (FULLSIZE_ARGS="--folder DIR" to work there)'
	@echo 'make clean     remove the virtual environment, caches and build products; out/ stays'
	@echo 'PYTHON=...     the interpreter to build the virtual environment with, 3.11 or newer'

demo: $(VENV)/.installed
	$(BIN)/tpc-jax demo $(DEMO_ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m 'not slow' $(PYTEST_ARGS)

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

report: $(VENV)/.installed
	$(BIN)/python scripts/make_report.py $(REPORT_ARGS)

fullsize: $(VENV)/.installed-dev
	$(BIN)/python scripts/fullsize.py $(FULLSIZE_ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The installation is editable, so only new metadata calls for another one. Without a network for
# the pose model all but finding people in pictures works, and tests of that are left out.
$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(PIP_INSTALL) -e '.[pose]'
	-$(BIN)/tpc-jax fetch-pose
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(PIP_INSTALL) -e '.[dev]'
	-$(BIN)/tpc-jax fetch-pose
	@touch $@ $(VENV)/.installed

# pip is the last thing that venv writes: its absence also tells of a broken-off creation.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "tpc-jax needs Python 3.11 or newer, but PYTHON=$(PYTHON) is" \
	         "$$($(PYTHON) --version 2>/dev/null || echo 'not to be found')." \
	         "Name a newer one, such as: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
