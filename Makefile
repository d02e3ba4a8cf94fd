# Every target works on a fresh Debian machine: what is missing is installed by `setup` when run as root,
# and named when not. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

HOST      ?= mentat
SUITE     ?= trixie
INVENTORY ?= inventory.example.yaml
TARGET    ?= target
DIST      := dist
SECONDS   := 600
PART      ?= full
NATIVE    := $(shell uname -m)-unknown-linux-musl

# The path of the checkout and of cargo's home must not be in the binaries: the same source gives the same bytes.
REMAP := --remap-path-prefix=$(CURDIR)=/chom --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
BUILD := RUSTFLAGS="$(REMAP)" cargo build --release --locked --target-dir $(TARGET)/static

SOURCES := $(shell find format installer bundler targets templates -type f 2>/dev/null) Cargo.toml Cargo.lock .cargo/config.toml rust-toolchain.toml

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  HOST=$(HOST) SUITE=$(SUITE) INVENTORY=$(INVENTORY)"

.PHONY: setup
setup: ## install what the other targets need (Debian packages, Rust targets)
	@bash tests/setup.sh

$(DIST)/chom-install-%: $(SOURCES) | setup
	$(BUILD) -p chom-install --target $*-unknown-linux-musl
	@mkdir -p $(DIST)
	install -m 0755 $(TARGET)/static/$*-unknown-linux-musl/release/chom-install $@

$(DIST)/chom-bundle: $(SOURCES) $(DIST)/chom-install-x86_64 $(DIST)/chom-install-aarch64
	CHOM_EMBED_DIR=$(CURDIR)/$(DIST) $(BUILD) -p chom-bundle --target $(NATIVE)
	install -m 0755 $(TARGET)/static/$(NATIVE)/release/chom-bundle $@

.PHONY: dist
dist: $(DIST)/chom-bundle ## the static programs, in dist/

.PHONY: bundle
bundle: dist ## the bundle of HOST, in dist/
	$(DIST)/chom-bundle --inventory $(INVENTORY) build --host $(HOST)

.PHONY: demo
demo: dist ## build the bundle of HOST and rehearse it on a throw-away Debian host
	@bash tests/demo.sh $(HOST) $(SUITE) $(INVENTORY)

.PHONY: test
test: dist ## every test of the usual run, on real Debian hosts; fails after CHOM_MINUTES (30)
	bash tests/usual.sh --target-dir $(TARGET)

.PHONY: test-faults
test-faults: dist ## every fault there is: each step, each effect of the real program, each power cut, 2,000 random runs (about eight hours; PART=3/24 takes a part)
	CHOM_MATRIX=$(PART) cargo test --locked --target-dir $(TARGET) -p chom-install
	CHOM_MATRIX=$(PART) bash tests/memory.sh cargo test --locked --target-dir $(TARGET) -p chom-tests --test suites -- --nocapture faults:: effects:: backup::

.PHONY: test-power
test-power: dist ## the power of a virtual machine fails a hundred times, and what was not synced is lost (three quarters of an hour)
	CHOM_CASES=100 bash tests/memory.sh cargo test --locked --target-dir $(TARGET) -p chom-tests --test suites -- --nocapture power::

.PHONY: test-races
test-races: dist ## other accounts race against root on a throw-away host, two hundred times for each item (an hour)
	CHOM_RACES=200 cargo test --locked --target-dir $(TARGET) -p chom-tests --test suites -- --nocapture adversary::

.PHONY: fuzz
fuzz: ## every reader of foreign bytes under a fuzzer, SECONDS each (600)
	@bash tests/fuzz.sh $(SECONDS)

.PHONY: lint
lint: | setup ## formatting, clippy, links in the docs, house rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --target-dir $(TARGET) -- -D warnings
	@# The fuzzers' lock is of a workspace of its own, which nothing else here reads.
	cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --workspace --no-deps --document-private-items --locked --target-dir $(TARGET)
	bash tests/house.sh

.PHONY: bench
bench: dist ## speed, memory and size as ratios to a peer, in dist/bench.json
	cargo run --quiet --locked --target-dir $(TARGET) -p chom-tests --bin bench $(DIST)/bench.json

.PHONY: clean
clean: ## remove what the targets above have made
	rm -rf $(DIST) $(TARGET)
