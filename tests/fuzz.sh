#!/usr/bin/env bash
# Fuzzes every reader of foreign bytes for so many seconds each: no crash, no hang of 10 s, not more than 256 MB.
# What is found on the way stays under fuzz/target; what comes with the checkout (fuzz/corpus) is read only.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(bundle manifest journal receipt inventory lock)

# libFuzzer is C++.
if ! command -v g++ >/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "fuzz: g++ is missing" >&2
        echo "hint: sudo apt-get install --no-install-recommends g++" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ >/dev/null
fi
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked

# What the sanitizer keeps aside of freed memory is not the reader's.
export ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=0
# Bundles are unpacked there.
TMPDIR=$(mktemp -d /dev/shm/chom-fuzz.XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

export CARGO_TARGET_DIR=$PWD/fuzz/target
# cargo-fuzz would change the lock without a word.
cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
cargo +nightly fuzz build
for target in "${targets[@]}"; do
    mkdir -p "fuzz/target/found/$target" "fuzz/artifacts/$target"
    echo "fuzz: $target, $seconds s"
    cargo +nightly fuzz run "$target" "fuzz/target/found/$target" "fuzz/corpus/$target" -- \
        -rss_limit_mb=256 -timeout=10 -max_total_time="$seconds" -max_len=65536 -print_final_stats=1 2>&1 |
        tee "fuzz/target/$target.log" | grep -E "^stat::|ERROR|SUMMARY|DONE|INITED|panicked" || true
    if ! tail -n 20 "fuzz/target/$target.log" | grep -q "^Done "; then
        echo "fuzz: $target failed: fuzz/target/$target.log, fuzz/artifacts/$target" >&2
        exit 1
    fi
done
