#!/usr/bin/env bash
# Runs a command while the throw-away hosts lie in memory, on a file system that copies a disk in a moment and keeps
# what is the same once: thousands of copies of a host's disk take little more than one. Seen by this command only, and
# gone with it.
set -euo pipefail

cache=${CHOM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/chom}
if [ "${CHOM_IN_MEMORY:-}" != yes ]; then
    mkdir -p "$cache/rehearse"
    CHOM_IN_MEMORY=yes exec unshare --mount --propagation private "$(realpath "$0")" "$@"
fi
if ! command -v mkfs.xfs >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends xfsprogs >/dev/null
fi
# Of what is free, not of what there is: without it the disk of this machine serves, more slowly.
free=$(awk '/^MemAvailable/{print int($2 / 1048576)}' /proc/meminfo)
size=64
if [ "$free" -ge 12 ]; then
    size=$((free * 3 / 4))
    mount -t tmpfs -o size="${size}G" tmpfs "$cache/rehearse"
else
    echo "memory: $free GB are free, and 12 are wanted: the hosts lie on the disk" >&2
fi
image=$(mktemp "$cache/rehearse/memory.XXXXXX")
truncate -s "${size}G" "$image"
mkfs.xfs -q -m reflink=1 "$image"
device=$(losetup --find --show "$image")
# Both last as long as the mount.
rm "$image"
mount "$device" "$cache/rehearse"
losetup --detach "$device"
code=0
"$@" || code=$?
# Hosts of a command that was killed: nobody else can see where they lie.
"$(dirname "$0")/../dist/chom-bundle" rehearse --clean
exit "$code"
