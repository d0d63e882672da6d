# Every target but `setup` sets up first. See docs/ for what each is for.
.PHONY: setup demo test lint types imports checks browser programs bench chaos screenshots help
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PINS := requirements.txt requirements-dev.txt demo/requirements.txt
ARGS ?=
# Test files side by side: most tests wait for a server, a browser or a process, so one more than there are cores.
TEST_JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SIDE_BY_SIDE := -n $(TEST_JOBS) --dist loadfile
# Tests of what the target server's version matters to: run a second time on PostgreSQL 15 where there is one. The
# engine's other rooms ask SQLite alone.
PG15_BIN ?= /usr/lib/postgresql/15/bin
PG15_ROOMS := back load online planning replay target verify
PG15_TESTS := $(wildcard tests/migrations_app/engine/test_*.py) $(PG15_ROOMS:%=tests/migrations_app/engine/%)

help:
	@echo "make setup        .venv with the pinned requirements"
	@echo "make demo         everything up on this machine; ARGS=--fresh begins anew, ARGS=--walkthrough runs it all unattended"
	@echo "make test         everything that CI runs"
	@echo "make lint         the part of it that needs no server"
	@echo "make bench        speed, as ratios; ARGS=--memory asks whether memory grows"
	@echo "make chaos        the long fault tests"
	@echo "make screenshots  every page, both themes, two widths"

setup: $(STAMP)

# The stamp is written last, so that an interrupted setup is done again. The .pth lets any command of the
# environment import the checkout, wherever it is called from.
$(STAMP): $(PINS) Makefile
	@python=$$(for name in python3.11 python3.12 python3.13 python3; do \
	    command -v $$name >/dev/null 2>&1 && $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    && { echo $$name; break; }; done); \
	if [ -z "$$python" ]; then echo "Causeway needs Python 3.11 or newer; none was found on PATH." >&2; exit 1; fi; \
	[ -x $(BIN)/python ] || $$python -m venv $(VENV) \
	    || { echo "python -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/python -c 'import pathlib, sysconfig; \
	    pathlib.Path(sysconfig.get_path("purelib"), "causeway.pth").write_text(f"{pathlib.Path.cwd()}\n")'
	@touch $(STAMP)

demo: setup
	@exec $(BIN)/python -m demo.stage $(ARGS)

# --- what CI runs -----------------------------------------------------------------------------------
test: lint browser programs
	CAUSEWAY_NO_SKIPS=1 $(BIN)/python -m pytest -m "not chaos" -rs $(SIDE_BY_SIDE) $(ARGS)
	@if [ -x $(PG15_BIN)/postgres ] && [ -n "$(PG15_TESTS)" ]; then \
	    echo "again, on PostgreSQL 15: $(PG15_TESTS)"; \
	    CAUSEWAY_NO_SKIPS=1 CAUSEWAY_TEST_PG=15 CAUSEWAY_TEST_PG_BINDIR=$(PG15_BIN) \
	        $(BIN)/python -m pytest -m "not chaos" -rs $(SIDE_BY_SIDE) $(PG15_TESTS); \
	else echo "no PostgreSQL 15 in $(PG15_BIN): its second run is left out"; fi

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@PYTHON=$(BIN)/python .ci/django-checks

browser: setup
	@.ci/browser

programs:
	@.ci/programs

# --- the long ones ------------------------------------------------------------------------------------
bench: setup
	$(BIN)/python -m bench $(ARGS)

chaos: setup
	CAUSEWAY_NO_SKIPS=1 $(BIN)/python -m pytest -m chaos -rs $(ARGS)

screenshots: setup browser
	$(BIN)/python -m tests.screenshots $(ARGS)
