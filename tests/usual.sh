#!/usr/bin/env bash
# The usual run: every test, then how long each took, how many passed and how many failed. It shall stay one that people
# run before each push, so it fails when it takes longer than CHOM_MINUTES (30, on two processors).
#
# Samples of what is too much to be seen each time are another part for each commit; CHOM_SAMPLE takes a certain one.
set -uo pipefail
cd "$(dirname "$0")/.."

minutes=${CHOM_MINUTES:-30}
export CHOM_SAMPLE=${CHOM_SAMPLE:-$((16#$(git rev-parse --short=7 HEAD 2>/dev/null || echo 0)))}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CHOM_PROGRAMS=$work/programs CHOM_SECONDS=$work/scenes
touch "$CHOM_PROGRAMS" "$CHOM_SECONDS"
host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$host")_RUNNER

begun=$SECONDS
cargo test --workspace --locked --no-run "$@" || exit
built=$((SECONDS - begun))
echo "samples: CHOM_SAMPLE=$CHOM_SAMPLE"
env "$runner=bash ../tests/timed.sh" cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$work/said"
code=${PIPESTATUS[0]}
took=$((SECONDS - begun))

echo
echo "seconds by program"
sort -k2,2nr "$CHOM_PROGRAMS" | awk '{ printf "%8.1f  %s\n", $2, $1 }'
echo
echo "seconds of hosts by suite: all of them, the longest scene, scenes"
awk '{
    split($1, part, "::"); suite = part[1]
    all[suite] += $2; of[$1] += $2
    if (of[$1] > most[suite]) { most[suite] = of[$1]; scene[suite] = $1 }
    if (!seen[$1]++) scenes[suite]++
} END {
    for (suite in all) printf "%8.1f %8.1f %4d  %s (%s)\n", all[suite], most[suite], scenes[suite], suite, scene[suite]
}' "$CHOM_SECONDS" | sort -nr
echo
awk '/^test result: / { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$work/said"
echo "took $((took / 60)) min $((took % 60)) s, $built s of it to build the tests"
if [ "$took" -gt $((minutes * 60)) ]; then
    echo "test: longer than $minutes minutes" >&2
    echo "hint: mend what has become slow (above), or on a slower machine: CHOM_MINUTES=60 make test" >&2
    [ "$code" -ne 0 ] || code=1
fi
exit "$code"
