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

# Recipes name files that are there.
while IFS=: read -r page path; do [ -e "$path" ] || breach "$page names \`$path\`, which is not there"; done < <(
    grep -HoE '`(format|bundler|installer|tests|targets|templates|docs)/[A-Za-z0-9_./-]+`' \
        docs/architecture.md docs/contributing.md | tr -d '`' | sort -u
)

# The engine knows no kind of resource: what a kind does otherwise than others, it states in its own file.
while IFS= read -r hit; do breach "$hit: a kind of resource in the engine"; done < <(
    git grep -nE 'Resource::[A-Z]' -- 'installer/src/engine/*.rs' ':!installer/src/engine/tests'
)

# The rooms of the installer, lowest first: a room uses only those that are named on a line before its own.
# docs/architecture.md says what each is for.
rooms='
sys nonce
redact logger
systemd dpkg ufw facts
state
database
resource
journal ledger
caller
step check
plan
open preflight
transaction receipt
engine
confirm backup
run
ui
cli
'
# Debts: each breaks the order, says why, and goes away.
declare -A debts=(
    [run:ui]='run shows its progress itself, where it should tell an observer that ui gives it'
)

declare -A level=() owed=()
height=0
while read -r names; do
    height=$((height + 1))
    for name in $names; do level[$name]=$height; done
done <<<"$rooms"
# Each file of the installer with the rooms that its code names, comments and tests aside.
uses() {
    git ls-files 'installer/src/*.rs' | grep -vE '/(tests/.*|tests|lib|main)\.rs$' | xargs awk '
        FNR == 1 { print FILENAME, "" }
        { sub(/(^|[[:space:]])\/\/.*$/, "")
          while (match($0, /(^|[^[:alnum:]_])crate::([{]|[a-z_]+)/)) {
              name = substr($0, RSTART, RLENGTH); sub(/.*crate::/, "", name)
              print FILENAME, name; $0 = substr($0, RSTART + RLENGTH) } }' | sort -u
}
while read -r file used; do
    room=${file#installer/src/}
    room=${room%%/*}
    room=${room%.rs}
    if [ -z "${level[$room]:-}" ]; then
        [ -n "$used" ] || breach "$file: the room \`$room\` has no place in the order of tests/house.sh"
        continue
    fi
    [ "$used" = '{' ] && breach "$file: one \`use crate::room\` for each room"
    # What is no room is another name of the crate's root.
    [ -n "$used" ] && [ "$used" != "$room" ] && [ -n "${level[$used]:-}" ] || continue
    [ "${level[$used]}" -lt "${level[$room]}" ] && continue
    if [ -n "${debts[$room:$used]:-}" ]; then
        owed[$room:$used]=1
    else
        breach "$file: \`$room\` uses \`$used\`, which is not below it"
    fi
done < <(uses)
for debt in "${!debts[@]}"; do
    [ -n "${owed[$debt]:-}" ] || breach "tests/house.sh: the debt $debt is paid: strike it out"
done

[ "$breaches" -eq 0 ] && echo "house: in order"
exit $((breaches > 0))
