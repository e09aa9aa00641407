# Every command says what it does: `make help`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
DEMO_FLAGS ?=
SEEDS ?= 10000
TANK_SEEDS ?= 2

.PHONY: help demo test sim scorecard telemetry mutants recovery chaos chaos-tools check bench fmt engines web browser-tools test-tools prerequisites schemas scenarios

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: prerequisites engines web ## Build, then run a simulated fuel network with a live page at http://localhost:8080
	@echo "==> building forecourt (a few minutes the first time, seconds afterwards)"
	@$(CARGO) build --release --locked --bin forecourt
	@exec target/release/forecourt demo $(DEMO_FLAGS)

test: prerequisites test-tools engines web browser-tools ## Pass all tests, against real Kafka, MQTT brokers, ClickHouse and Chromium
	@echo "==> building and running the tests (several minutes the first time)"
	@$(CARGO) build --release --locked --workspace --bins
	@$(CARGO) test --release --locked --workspace --no-fail-fast
	@echo "==> testing what writes to Kafka and ClickHouse against the engines"
	@deploy/with-engines $(CARGO) test --release --locked --workspace --test engines -- --ignored --test-threads=1
	@echo "==> testing the page's own code"
	@npm --prefix dashboards/web run --silent check && npm --prefix dashboards/web test --silent

chaos: prerequisites chaos-tools engines web ## Break everything under load and count what is lost or doubled (an hour; CHAOS=sigstop for some scenes)
	@$(CARGO) build --release --locked --workspace --bins
	@$(CARGO) test --release --locked --test chaos -- --ignored --nocapture

recovery: prerequisites test-tools engines web ## Measure starts from snapshots, and decisions beside snapshots and outages (half an hour)
	@$(CARGO) build --release --locked --workspace --bins
	@$(CARGO) test --release --locked --test recovery -- --ignored --nocapture --test-threads=1

telemetry: prerequisites test-tools engines web ## Measure ten thousand gauges through a broker, and the import of a file of five million rows
	@$(CARGO) build --release --locked --workspace --bins
	@$(CARGO) test --release --locked --test telemetry -- --ignored --nocapture --test-threads=1

mutants: prerequisites web ## Put known bugs into the program, one by one, and tell which tests notice (an hour)
	@tests/mutants/run $(MUTANTS)

check: prerequisites ## Format, lints, dependency rules: what a change must pass beside the tests
	@$(CARGO) fmt --all -- --check
	@$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	 else echo "cargo-deny is not installed (cargo install cargo-deny --locked): dependency rules not checked"; fi

bench: prerequisites engines web ## Measure the decision engine and the load the whole carries (figures at the end)
	@$(CARGO) bench --locked -p pipeline
	@$(CARGO) build --release --locked --workspace --bins
	@deploy/bench

sim: prerequisites ## Run the whole in a simulated world where everything fails, SEEDS times (10000); SEED=… TRACE=1 tells one
	@SEEDS=$(SEEDS) $(CARGO) test --release --locked --test simulator -- --nocapture nothing_is_lost

scorecard: prerequisites ## Let the tank engine live through simulated tanks and tell what it finds out (TANK_SEEDS=2; FINAL=1, REPORT=file.json)
	@TANK_SEEDS=$(TANK_SEEDS) $(CARGO) test --release --locked --test tank_scorecard -- --nocapture --test-threads=1

fmt: ## Format all code
	@$(CARGO) fmt --all

schemas: prerequisites ## Write deploy/schemas anew after a change of the wire format
	@UPDATE_SCHEMAS=1 $(CARGO) test --release --locked --test schemas

scenarios: prerequisites ## Write the outcomes of tests/scenarios anew after a change that is meant
	@UPDATE_EXPECT=1 $(CARGO) test --release --locked --test scenarios

prerequisites:
	@deploy/setup build

test-tools:
	@deploy/setup test

chaos-tools:
	@deploy/setup chaos

engines: ## Fetch Apache Kafka and the ClickHouse engine into the user's cache (once, about 300 MB)
	@deploy/engines/fetch

# The page is built anew only when one of its files changed.
WEB_SOURCES := $(shell find dashboards/web -path dashboards/web/node_modules -prune -o -path dashboards/web/dist -prune -o -type f -print 2>/dev/null)

web: dashboards/web/dist/index.html ## Build the page that the binary carries

dashboards/web/dist/index.html: $(WEB_SOURCES)
	@echo "==> building the page"
	@cd dashboards/web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build
	@touch $@

browser-tools: tests/browser/node_modules/.package-lock.json

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	@echo "==> fetching the browser driver for the tests"
	@cd tests/browser && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
