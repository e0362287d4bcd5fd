# make demo    set up and show what it does        make test    set up and run all tests
# make setup   only the virtual environment        make bench   measure, side by side with the peers that are here
# make lint    format, types, layers               make quick   the tests that need no root (two minutes)
# make lock    resolve the dependencies anew       make clean   remove the virtual environment and caches
# make golden  rewrite the outputs in tests/golden from what the code does now: read the diff before you commit it

PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test quick bench setup lint lock golden clean system

demo: system setup
	@$(SUDO) $(BIN)/python scripts/demo.py

test: system lint
	$(SUDO) $(BIN)/pytest -p no:cacheprovider

quick: setup
	$(BIN)/pytest -p no:cacheprovider tests/unit tests/contract

golden: setup
	SAMPAN_GOLDEN=write $(BIN)/pytest -p no:cacheprovider -q tests/unit -k golden

bench: system setup
	$(SUDO) $(BIN)/python bench/run.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(READY)

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@PYTHON=$(PYTHON) sh scripts/setup.sh
	@touch $@

system:
	@$(SUDO) sh scripts/system.sh

lock: setup
	$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
