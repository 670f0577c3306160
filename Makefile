# Lingqu's tasks.  `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CRATE := crates/lingqu-core
CARGO_FLAGS := --manifest-path $(CRATE)/Cargo.toml
RUST_SOURCES := $(shell find $(CRATE) -name '*.rs' -not -path '*/target/*') $(CRATE)/Cargo.toml $(CRATE)/Cargo.lock
WORKERS ?= 2
# The slower tests over real nodes, which run with the acceptance tests.
SLOWER := tests/node/test_large.py tests/node/test_supplies.py tests/node/test_crash.py tests/node/test_hostile.py tests/node/test_times.py
TESTS ?= tests --ignore=tests/acceptance --ignore=tests/timing $(SLOWER:%=--ignore=%)
SERVE ?=
PARTIES ?=
ADVERSARY ?=

# The first Python that is new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  Options: PARTIES=2 ADVERSARY=malicious SERVE=1 (demo)  WORKERS=$(WORKERS) TESTS=tests/share (test)"

# What is installed, as stamps.  The package is installed editable, with its Rust part built in release mode: a change
# of Python needs nothing, a change of Rust or of pyproject.toml installs again.
$(VENV)/.created:
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer with venv was found; install one, or give PYTHON=/path/to/python." >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "No cargo was found; install Rust 1.89 or newer." >&2; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.package: $(VENV)/.created pyproject.toml $(RUST_SOURCES)
	@echo "Building and installing Lingqu and what the demo needs"
	@$(PIP) install --editable '.[postgres,pandas,polars]' --group demo
	@touch $@

$(VENV)/.dev: $(VENV)/.package
	@echo "Installing the checks"
	@$(PIP) install --group dev
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	@echo "Installing the documentation's generator"
	@$(PIP) install --group docs
	@touch $@

.PHONY: install
install: $(VENV)/.dev ## install the package (editable) and the checks into .venv

.PHONY: demo
demo: $(VENV)/.package ## nodes, two questions, one contract each, on real data (PARTIES=2, ADVERSARY=malicious, SERVE=1)
	@$(BIN)/python -m scenarios.census.demo $(if $(SERVE),--serve) \
		$(if $(PARTIES),--parties $(PARTIES)) $(if $(ADVERSARY),--adversary $(ADVERSARY))

.PHONY: postgres
postgres:
	@if command -v pg_ctl >/dev/null || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing PostgreSQL's programs"; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; \
	else echo "The tests start a PostgreSQL of their own and need its programs: install the package postgresql." >&2; exit 1; fi

.PHONY: test
test: $(VENV)/.dev postgres ## install and run the tests (TESTS=tests/share for one room)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

.PHONY: acceptance
acceptance: $(VENV)/.dev postgres ## the slower tests over real nodes: demo and traffic, kills, bad input, hostile peers, correlations made ahead (minutes)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/acceptance $(SLOWER)

.PHONY: timing
timing: $(VENV)/.dev ## whether the kernels' times depend on secrets (MEASUREMENTS=100000 a kernel)
	@MEASUREMENTS=$(or $(MEASUREMENTS),100000) $(BIN)/python -m pytest -q tests/timing

.PHONY: lint
lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: types
types: $(VENV)/.dev ## mypy --strict
	@$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/.dev ## the ladder of imports
	@$(BIN)/lint-imports

.PHONY: rust
rust: ## the Rust crate: format, clippy with warnings as errors, tests
	@cargo fmt $(CARGO_FLAGS) --check
	@cargo clippy $(CARGO_FLAGS) --quiet --all-targets -- -D warnings
	@cargo test $(CARGO_FLAGS) --quiet

.PHONY: docs
docs: $(VENV)/.docs ## build the documentation into site/, warnings are errors
	@$(BIN)/python docs/generate.py
	@$(BIN)/zensical build --strict --clean --config-file mkdocs.yml

.PHONY: docs-serve
docs-serve: $(VENV)/.docs ## serve the documentation while writing it
	@$(BIN)/python docs/generate.py
	@$(BIN)/zensical serve --config-file mkdocs.yml

.PHONY: tamper
tamper: $(VENV)/.package ## three parties, one of which alters a message: RUNS=10000 (minutes)
	@$(BIN)/python -m tests.share.tamper $(or $(RUNS),10000) $(or $(SEED),1)

.PHONY: security
security: $(VENV)/.dev tamper timing ## all tests that attack, at full size: pitfalls, altered messages (RUNS), times (MEASUREMENTS), twins (EXAMPLES)
	@$(BIN)/python -m pytest -q tests/security tests/share/test_malicious.py tests/share/test_ring_proof.py \
		tests/share/test_ring_proof_deviations.py tests/share/test_declaration.py
	@EXAMPLES=$(or $(EXAMPLES),25) $(BIN)/python -m pytest -q tests/share/test_every_operation.py

.PHONY: bench bench-share bench-products bench-net
bench: bench-share bench-products bench-net ## all benchmarks
bench-share: $(VENV)/.package ## the protocols' benchmark
	@$(BIN)/python benchmarks/share_bench.py
bench-products: $(VENV)/.package ## two parties' products
	@$(BIN)/python -m benchmarks.two_products
bench-net: $(VENV)/.package ## the channels' benchmark
	@$(BIN)/python benchmarks/net_bench.py

.PHONY: accuracy
accuracy: $(VENV)/.dev ## real functions against mpmath over their whole domains, into docs/rooms/share.md (a minute)
	@$(BIN)/python -m benchmarks.accuracy --write $(if $(POINTS),--points $(POINTS))

# SPU is measured beside Lingqu, in an environment of its own that Lingqu is not installed in.
SPU_VENV := .venv-spu
SPU_PYTHON ?= python3.11
SPU_ARGUMENT = $$([ ! -e $(SPU_VENV)/.created ] || echo --spu $(SPU_VENV)/bin/python)
.PHONY: spu bench-mpc bench-psi
spu:
	@[ -e $(SPU_VENV)/.created ] || { echo "Installing SPU into $(SPU_VENV)"; rm -rf $(SPU_VENV); \
		$(SPU_PYTHON) -m venv $(SPU_VENV) && \
		$(SPU_VENV)/bin/python -m pip --disable-pip-version-check --quiet install spu==0.9.5 && \
		touch $(SPU_VENV)/.created; } || echo "SPU could not be installed (it needs Python 3.11): only Lingqu is measured." >&2
bench-mpc: $(VENV)/.package spu ## three parties beside SPU 0.9.5, and the machine's limits (minutes)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.mpc $(SPU_ARGUMENT) $(if $(TWO),--two) $(if $(ROWS),$(ROWS))
bench-psi: $(VENV)/.package spu ## intersections beside SPU 0.9.5, shares, lookups, growth, a shaped line (20 minutes; SECTIONS, ROWS)
	@$(BIN)/python -m benchmarks.psi $(SPU_ARGUMENT) $(if $(SECTIONS),--sections $(SECTIONS)) $(if $(ROWS),--words $(ROWS)) \
		$(if $(DIVIDE),--divide $(DIVIDE))

.PHONY: format
format: $(VENV)/.dev ## format Python and Rust
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@cargo fmt $(CARGO_FLAGS)

.PHONY: clean
clean: ## remove what was built, .venv included
	@rm -rf $(VENV) $(SPU_VENV) site dist build .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
	@rm -rf $(CRATE)/target src/lingqu/_core*.so docs/reference/mechanisms.md
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
