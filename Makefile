# What is done with the code. Each creates .venv and installs what it needs on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# tests that start no server: what runs in processes of its own is not counted
QUICK := $(addprefix tests/,prompts photos memory lora client)

.PHONY: demo test slow lint coverage bench release clean

demo: $(INSTALLED)
	$(BIN)/fluxbooth demo

test: $(INSTALLED)  # two files of tests at a time, a core each, the longest first (tests/conftest.py)
	-$(BIN)/python -m tests.support.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)  # the docs are built as a site, without warnings; the variable spares the notice of the theme's successor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

coverage: $(INSTALLED)  # fails if it is less than `fail_under` in pyproject.toml; raise that with it
	$(BIN)/coverage run -m pytest -m "not slow" $(QUICK)
	$(BIN)/coverage report

release: $(INSTALLED)  # make release VERSION=0.2.0
	$(BIN)/python -m tools.release $(VERSION)

bench: $(INSTALLED)
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) demo-out verify-out dist site .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,pretrain,server,quant]"
	touch $@
