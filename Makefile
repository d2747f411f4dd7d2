# Two commands do everything: `make run` and `make test`. Both set up what they need, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: run test test-slow test-newest test-sqlalchemy-2.0 faults upgrade-load mutations lint types english proto proto-check docs docs-check bench format clean help

##@ Start here
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9.-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[export,gateway,postgres]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.runtime

##@ Run
run: $(VENV)/.runtime ## The main job: record and export events, and show which parts left the instance.
	$(BIN)/python examples/pipeline.py

##@ Test
# One worker more than cores, at most four: many tests wait for a process or a clock. All tests of a file run in one
# worker, which creates their shared fixtures once. Files run in the order of the folders, so long ones do not come last.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, 1 + len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else 2)')
SHARED = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
FOLDERS = tests/upgrade tests/faults tests/acceptance tests/typing tests/integration tests/unit
# A test that hangs fails after 10 minutes and prints the traceback of each thread.
NO_HANG = --max-worker-restart=0 -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true
test: $(VENV)/.dev ## All tests, with coverage; PostgreSQL comes with them.
	$(BIN)/python -m pytest $(SHARED) $(NO_HANG) -m 'not slow' --cov --cov-report=term $(FOLDERS)

test-slow: $(VENV)/.dev ## All tests with their long forms, more examples and faults, each command a new process.
	TELEMETRY_TEST_COLD=1 TELEMETRY_TEST_EXAMPLES=$(EXAMPLES) $(MORE) $(BIN)/python -m pytest $(SHARED) $(NO_HANG) $(FOLDERS)

test-newest: $(VENV)/.dev ## Unit tests and a part of the others, on the newest Python found beside that of .venv.
	$(BIN)/python tools/newest_python.py

# A separate environment: many services use SQLAlchemy 2.0, and the main environment has the newest version.
OLDER := .venv-sqlalchemy-2.0
$(OLDER)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OLDER)
	grep -v '^SQLAlchemy==' constraints.txt > $(OLDER)/constraints.txt
	$(OLDER)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(OLDER)/constraints.txt \
		--editable '.[dev]' 'sqlalchemy<2.1'
	@touch $@

test-sqlalchemy-2.0: $(OLDER)/.dev ## Recording, the tables and the queue, on the newest SQLAlchemy 2.0.
	$(OLDER)/bin/python -m pytest $(SHARED) $(NO_HANG) $(or $(ARGS),$(ON_SQLALCHEMY_2_0))
ON_SQLALCHEMY_2_0 = $(addprefix tests/integration/recorder/,test_aio.py test_create_tables.py test_event_logs.py \
	test_export_queue.py test_migrations.py test_record_event.py test_recording.py test_transactions.py)

# The amounts of `make test-slow`.
EXAMPLES ?= 200
MORE = TELEMETRY_TEST_KILLS=6 TELEMETRY_TEST_CUTS=120 TELEMETRY_TEST_FAULTS=40 TELEMETRY_TEST_SEQUENCES=100 \
	TELEMETRY_TEST_HOSTILE=3000 TELEMETRY_TEST_CANARIES=2000 TELEMETRY_TEST_SOAK_MINUTES=1

# The amounts of each kind of fault in `make faults`.
KILLS ?= 200
CUTS ?= 1000
FAULTS ?= 500
SEQUENCES ?= 10000
HOSTILE ?= 100000
CANARIES ?= 10000
SOAK_MINUTES ?= 30
STORM_EXPORTERS ?= 8
STORM_EVENTS ?= 100000
ROWS ?= 1000000
EFFORT = TELEMETRY_TEST_KILLS=$(KILLS) TELEMETRY_TEST_CUTS=$(CUTS) TELEMETRY_TEST_FAULTS=$(FAULTS) \
	TELEMETRY_TEST_SEQUENCES=$(SEQUENCES) TELEMETRY_TEST_ROWS=$(ROWS) \
	TELEMETRY_TEST_HOSTILE=$(HOSTILE) TELEMETRY_TEST_CANARIES=$(CANARIES) TELEMETRY_TEST_SOAK_MINUTES=$(SOAK_MINUTES) \
	TELEMETRY_TEST_STORM_EXPORTERS=$(STORM_EXPORTERS) TELEMETRY_TEST_STORM_EVENTS=$(STORM_EVENTS)
faults: $(VENV)/.dev ## The long run of tests/faults; ARGS=tests/faults/power for a part of it.
	$(EFFORT) $(BIN)/python -m pytest -s $(or $(ARGS),tests/faults)

upgrade-load: $(VENV)/.dev ## Upgrade a database of the original system with a million events, while a process writes to it.
	TELEMETRY_TEST_ROWS=$(ROWS) $(BIN)/python -m pytest tests/faults/upgrade -s

mutations: $(VENV)/.dev ## Break each promise in turn, and check that a test fails.
	$(BIN)/python tools/mutation_check.py $(ARGS)

##@ Check
lint: $(VENV)/.dev ## Style and import rules.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.dev ## Strict types, twice.
	$(BIN)/mypy
	$(BIN)/pyright

english: $(VENV)/.dev ## Phrases on the deny list, and pages with lines that are too long.
	$(BIN)/python tools/check_english.py
	$(BIN)/python tools/check_docs_width.py

##@ Generate
proto: $(VENV)/.dev ## Generate the wire types from proto/.
	$(BIN)/python tools/generate_proto.py

proto-check: $(VENV)/.dev
	$(BIN)/python tools/generate_proto.py --check

docs: $(VENV)/.dev ## Write the generated pages of docs/reference, and the site into build/site.
	$(BIN)/python tools/generate_reference.py
	$(BIN)/telemetry allowlist docs docs/reference/example-allowlist.md --file examples/allowlist.toml
	$(BIN)/telemetry catalog docs docs/reference/example-events.md --file examples/events.toml
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-check: $(VENV)/.dev
	$(BIN)/python tools/generate_reference.py --check
	$(BIN)/telemetry allowlist docs docs/reference/example-allowlist.md --file examples/allowlist.toml --check
	$(BIN)/telemetry catalog docs docs/reference/example-events.md --file examples/events.toml --check
	$(BIN)/telemetry catalog check examples/service.py --file examples/events.toml
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

##@ Measure
$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[dev,bench]'
	@touch $@

bench: $(VENV)/.bench ## Speed, as ratios to floors measured in the same run; ARGS=--full for the long ones.
	$(BIN)/python benchmarks/pipeline.py $(ARGS)

##@ Tidy
format: $(VENV)/.dev ## Format the code.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove environments and generated files.
	rm -rf $(VENV) $(OLDER) .venv-newest run .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
