#!/usr/bin/env bash
# The rules of the house that no compiler knows. Prints every breach, exits 1 if there is one.
set -uo pipefail
cd "$(dirname "$0")/.."
breaches=0
breach() { echo "house: $*" >&2; breaches=$((breaches + 1)); }

while IFS= read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -gt 550 ] && breach "$file has $lines lines: does it hold one thing?"
    head -n 1 "$file" | grep -q '^//!' || breach "$file does not say what it owns (//! on the first line)"
done < <(git ls-files '*.rs')

# A mark of unfinished work, or a name of a package registry: mirrors come from the inventory or the machine.
marks='TODO|FIXME|XXX|HACK'
hosts='deb\.debian\.org|security\.debian\.org|snapshot\.debian\.org|crates\.io|pypi\.org|registry\.npmjs'
while IFS= read -r hit; do breach "$hit"; done < <(
    git grep -nE "\b($marks)\b|$hosts" -- . ':!Cargo.lock' ':!fuzz/Cargo.lock' ':!tests/house.sh'
)
while IFS= read -r hit; do breach "$hit"; done < <(git grep -nE '#\[ignore' -- '*.rs')

[ "$breaches" -eq 0 ] && echo "house: in order"
exit $((breaches > 0))
