#!/usr/bin/env bash
# `make demo`: one bundle from the example inventory, and as root its rehearsal on a throw-away host.
set -euo pipefail
host=$1 suite=$2 inventory=$3

dist/chom-bundle --inventory "$inventory" --set "$host.suite=$suite" build --host "$host"
# The newest one: `build` has just written it.
bundle=$(ls -t dist/"$host"-*.tar.gz | head -n 1)
if [ "$(id -u)" -eq 0 ]; then
    exec dist/chom-bundle rehearse --host "$host" --bundle "$bundle"
fi
dist/chom-bundle verify "$bundle"
echo
echo "built and verified: $bundle"
echo "The rehearsal on a throw-away Debian host needs root: sudo make demo"
