# `make run` and `make test` work on a fresh machine with Python 3.11 or newer; nothing else is needed.

# From 3.12 on a tree shares its memory (docs/decisions/0019); else whatever python3 is.
INTERPRETERS := python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[23].*/bin/python) python3
PYTHON ?= $(firstword $(shell for found in $(INTERPRETERS); do $$found -c '' 2>/dev/null && echo $$found; done) python3)
VENV := .venv
BIN := $(VENV)/bin
# Two systems at a time: more only wait for each other where there are two cores.
WORKERS ?= 2

.PHONY: install install-test run test check bench bench-paper bench-kill machine-code migrate clean

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "TOMIC needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what requirements.lock pins into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m compileall -q actors adapters domain launch messages persistence web_status system.py
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.lock
	@touch $@

run: install
	@$(BIN)/python system.py --topology

test: install-test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests

check: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy domain messages
	$(MAKE) test

bench: install-test
	@for file in supervision cold_start order_path decode bars greeks chains price_table feed_sockets tick_path shards decisions; do $(BIN)/python bench/$$file.py || exit 1; done

# Every step of an order's life with every victim, the broker's faults, both together, then every
# process of the default tree.
bench-kill: install-test
	@$(BIN)/python bench/kill_matrix.py
	@$(BIN)/python bench/kill_matrix.py --faults
	@$(BIN)/python bench/kill_matrix.py --pairs --cases 200
	@$(BIN)/python bench/kill_matrix.py --whole

docs: install
	@$(BIN)/python -c 'from pathlib import Path; from launch.configuration import write_texts; write_texts(Path())'

bench-paper: install-test
	@$(BIN)/python bench/paper_month.py

# Only after a change of adapters/machine_code.c or of a layout that it knows; the result is committed.
machine-code: install
	@$(BIN)/python -m adapters.compile_machine_code

migrate: install
	@$(BIN)/python system.py --migrate

clean:
	rm -rf $(VENV) var
