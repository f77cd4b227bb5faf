# Everything happens in an environment of the checkout's own, which is made on first use.
#   make test                                     with the first Python >= 3.11 of the machine
#   make test PYTHON=python3.13 VENV=.venv313     with another, beside it
# Variables: ARGS for the program that is run, TESTS for pytest, DIR for `make run`.

PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin

TESTS ?=
ARGS ?=
DIR ?= $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

CORE := $(wildcard src/gopark/runtime/*.py src/gopark/runtime/*.pxd src/gopark/runtime/*.h)

# GOPARK_DEBUG reaches setup.py through the environment. The stamp is named after the flavour, so
# that asking for the other one builds again.
FLAVOUR := $(if $(filter-out 0,$(GOPARK_DEBUG)),debug,release)
BUILT := $(VENV)/built-$(FLAVOUR)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: run test lint types bench freeze servers wheel build debug clean help

help:
	@echo "make run     find the duplicate files in Python's library folder (DIR=... for another)"
	@echo "make test    run the tests (TESTS='tests/test_cli.py -k name' for some)"
	@echo "make lint    ruff: rules and formatting"
	@echo "make types   mypy on the public face"
	@echo "make bench   the side-by-side benchmarks"
	@echo "make freeze  the same beside calls that block and loops that hog"
	@echo "make servers the same for servers: echo, TLS, HTTP"
	@echo "make wheel   sdist and wheel in dist/"
	@echo "make debug   build with assertions and symbols; any other target builds without again"
	@echo "make clean   remove all that was made"

run: $(BUILT)
	$(BIN)/gopark run examples/dupes.py $(ARGS) "$(DIR)"

test: $(BUILT)
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/dev
	$(BIN)/mypy

bench: $(BUILT)
	$(BIN)/python bench/run.py $(ARGS)

freeze: $(BUILT)
	$(BIN)/python bench/freeze.py $(ARGS)

servers: $(BUILT)
	$(BIN)/python bench/net.py $(ARGS)

wheel: $(VENV)/dev
	rm -rf dist
	$(BIN)/python -m build --quiet

build: $(BUILT)

debug:
	$(MAKE) build GOPARK_DEBUG=1

clean:
	rm -rf $(VENV) bench/.env build dist src/gopark.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f src/gopark/runtime/*.so
	find . -name __pycache__ -not -path './.*' -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$(sh tools/check_machine.sh "$(PYTHON)") && \
	echo "Making $(VENV) with $$("$$python" --version)" && "$$python" -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "Building gopark and installing what it needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[build,examples,test]'
	@touch $@

# With nothing to compile this takes a second, so it may follow the installation every time.
$(BUILT): $(VENV)/installed setup.py $(CORE)
	@echo "Compiling what has changed in the core"
	@rm -f $(VENV)/built-*
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/dev: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[dev]'
	@touch $@
