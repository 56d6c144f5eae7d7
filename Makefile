# `make demo` and `make test` need nothing but Python >= 3.11: they make .venv first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3

# One thread per process: the bits of a run depend on it, and processes share the cores better.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export MPLBACKEND := Agg
unexport PYTHONPATH

.PHONY: help demo test test-all lint lock format clean

help: ## show this list
	@awk -F ':.*## ' '/^[.a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv ## train the swimming circuit on two Ray workers, then compare it on bodies it never saw
	.venv/bin/python examples/demo.py

test: .venv ## lint, types, import rules and every test that is not slow
	.venv/bin/python -m pytest -m "not slow"

test-all: .venv ## every test
	.venv/bin/python -m pytest

lint: .venv ## lint, types and import rules only
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

lock: .venv ## write requirements.lock anew, from constraints.txt and PyPI
	.venv/bin/python .ci/lock.py

format: .venv ## put the code into ruff's format
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

clean: ## delete .venv, caches and builds; runs/ stays
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find agents envs trees launch configs src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation is taken up again.
.PHONY: .venv
.venv: .venv/installed ## make the virtual environment with everything that is needed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Wormwood needs Python 3.11 or newer, got $$($(PYTHON) --version 2>&1); choose one with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@
