#!/usr/bin/env bash
# Runs one test program for tests/usual.sh, and notes how long it took. Cargo calls it with the program and its words.
set -uo pipefail

name=$(basename "$1")
name=${name%-*}
case $name in
    # Each scene waits for its turn by itself; what takes long shall not come last.
    suites) export RUST_TEST_THREADS=1000 ;;
    # Its hosts wait as well, and nothing bounds their number.
    rehearse) export RUST_TEST_THREADS=4 ;;
esac
# A program that starts others of ours must not start them through this.
for variable in ${!CARGO_TARGET_@}; do
    [[ $variable != *_RUNNER ]] || unset "$variable"
done
begun=$EPOCHREALTIME
code=0
"$@" || code=$?
awk -v name="$name" -v begun="$begun" -v ended="$EPOCHREALTIME" \
    'BEGIN { printf "%s %.1f\n", name, ended - begun }' >>"$CHOM_PROGRAMS"
exit "$code"
