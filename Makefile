# Every command installs what it needs first, and only when a lock file has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
BENCH_VENV ?= .venv-bench
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv

# What `make run` needs, what the checks and tests need on top, and that with the benchmark's peers.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := $(BENCH_VENV)/.installed
# There once `make cluster` was asked for, so that a later `make run` keeps what that brought.
CLUSTER := $(VENV)/.with-cluster
# Scripts and styles: the packages they are made of, and what esbuild makes.
NODE := node_modules/.installed
NODE_DEV := node_modules/.installed-dev
DIST := static/dist/.built

# The query reaches the program through the environment and as it was typed: neither make nor the
# shell expands anything in it.
query ?= explain DSPy
export DSPEX_QUERY := $(value query)
unexport query

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run run_flagship sandbox cluster test check test-fast test-protocol test-integration \
	test-browser test-canvas screenshots faults bench lock

help: ## List the commands
	@sed -nE 's/^([a-z_-]+):[^#]*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(RUN) $(DIST) ## Install what DSPex needs to run

run: setup ## Serve DSPex on this machine; prints one address that signs you in
	@$(PYTHON) manage.py up $(if $(port),--port '$(port)')

run_flagship: $(RUN) ## The flagship pipeline in the terminal: make run_flagship query="explain DSPy"
	@$(PYTHON) manage.py run_pipeline flagship --input "query=$$DSPEX_QUERY"

sandbox: $(RUN) ## Bring Deno and Pyodide (110 MB), in which DSPy's modules may run code
	@$(PYTHON) manage.py install_sandbox

cluster: $(UV) ## Bring what PostgreSQL and Redis need (20 MB), for several machines
	@touch $(CLUSTER)
	@$(MAKE) --no-print-directory setup

test: check test-fast test-protocol test-integration test-browser ## Check everything, then run every test

check: $(DEV) $(NODE_DEV) ## Style, types, floors, migrations and settings
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) manage.py makemigrations --check --dry-run
	npm run --silent typecheck
	DSPEX_ORIGINS=https://dspex.example $(PYTHON) manage.py check --deploy --fail-level WARNING

# Two processes at once, except where a test costs less than a process or all wait for one model.
test-protocol test-integration: pytest = -n 2
test-fast test-protocol test-integration test-browser: test-%: $(DEV) $(DIST)
	$(PYTHON) -m pytest tests/$* $(pytest)

test-fast: test-canvas ## Tests without processes, files or waiting
test-canvas: $(NODE_DEV)
	npm test --silent
test-protocol: ## Tests of the wire: worker frames, pages, sockets, providers' HTTP
test-integration: ## Tests with real worker processes and the real local model

test-browser: ## Tests in real Chromium, against a real server and the real local model

faults: $(DEV) $(DIST) ## Kill, stop and starve DSPex in every way and print what came of it; some of it: only=worker
	@$(PYTHON) -m tests.faults $(if $(only),--only '$(only)')

bench: $(BENCH) $(DIST) ## Measure against the goals and the peers; some of it: make bench only=engine,bridge
	$(BENCH_VENV)/bin/python -m benchmarks $(if $(only),--only '$(only)')

lock: $(UV) ## Remake the lock files after a change of pyproject.toml (upgrade=1 takes newer versions)
	$(LOCK) --group setup --output-file requirements-setup.lock
	$(LOCK) pyproject.toml --output-file requirements.lock
	$(LOCK) --group cluster --constraint requirements.lock --output-file requirements-cluster.lock
	$(LOCK) pyproject.toml --group dev --group cluster --constraint requirements.lock \
	  --output-file requirements-dev.lock
	$(LOCK) --group bench --constraint requirements.lock --output-file requirements-bench.lock
	$(LOCK) --group sandbox --output-file requirements-sandbox.lock

# A lock names no registry, so it installs from whichever one this machine is set up for.
LOCK = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	$(if $(upgrade),--upgrade)
SYNC = $(UV) pip sync --quiet --compile-bytecode --require-hashes

$(UV): requirements-setup.lock
	@python=$$(for name in python3.13 python3.12 python3; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; \
	  then echo $$name; break; fi; done); \
	if [ -z "$$python" ]; then \
	  echo 'DSPex needs Python 3.12 or newer, and none was found. Install one (on Debian:' \
	    'apt-get install python3 python3-venv), then run this again.' >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --require-hashes --requirement requirements-setup.lock
	@$(UV) pip uninstall --quiet --python $(PYTHON) pip
	@touch $@

RUN_LOCKS := requirements-setup.lock requirements.lock \
	$(if $(wildcard $(CLUSTER)),requirements-cluster.lock)

$(RUN): $(RUN_LOCKS) $(wildcard $(CLUSTER)) $(UV)
	$(SYNC) --python $(PYTHON) $(RUN_LOCKS)
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	$(SYNC) --python $(PYTHON) requirements-setup.lock requirements-dev.lock
	@touch $@

$(NODE): package-lock.json
	@node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' 2> /dev/null || { \
	  echo 'DSPex needs Node 20 or newer with npm to build its pages. Install it, then run' \
	    'this again.' >&2; exit 1; }
	@npm ci --omit=dev --no-audit --no-fund --loglevel=error
	@touch $@

$(NODE_DEV): $(NODE)
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $(NODE) $@

$(DIST): $(NODE) package.json tsconfig.json $(shell find static/src -type f)
	@npm run --silent build
	@touch $@

$(BENCH): requirements-bench.lock requirements.lock $(UV)
	@test -x $(BENCH_VENV)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(BENCH_VENV)
	$(SYNC) --python $(BENCH_VENV)/bin/python requirements.lock requirements-bench.lock
	@touch $@
