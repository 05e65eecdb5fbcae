# make run | test | agents | lint | bench | bench-pages | lock | crash | fuzz | screenshots. Everything is made from nothing: the virtual environment first, from locked hashes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test agents lint bench bench-pages lock crash fuzz screenshots clean

$(VENV)/run.stamp: requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit("epitaph needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

run: $(VENV)/run.stamp
	@exec $(BIN)/python manage.py serve

test: $(VENV)/dev.stamp
	./tests/run

# the command lines of coding agents, from npm (over a gigabyte, in build/)
agents: $(VENV)/dev.stamp
	AGENTS=1 $(BIN)/python -m pytest tests/clients/test_agents.py

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --cache-dir build/imports
	DATA_DIR=$$(mktemp -d) $(BIN)/mypy relay errorlog auditlog proxy_project
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run

# BENCH=--quick for a first look
bench: $(VENV)/dev.stamp
	$(BIN)/python -m tests.bench $(BENCH)

# e.g. PAGES="--entries 2M --events 1M --on postgres"
bench-pages: $(VENV)/dev.stamp
	$(BIN)/python -m tests.scale $(PAGES)

lock: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/run.in -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/run.txt requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf $(VENV)

crash: $(VENV)/dev.stamp
	$(BIN)/python -m tests.crash $(ARGS)

# the README's pictures: a real gateway, a real Chromium, an invented day
screenshots: $(VENV)/dev.stamp
	DATA_DIR=$$(mktemp -d) DJANGO_SETTINGS_MODULE=proxy_project.settings $(BIN)/python -m tests.browser.pictures docs/screenshots

fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile=long --timeout 3600
