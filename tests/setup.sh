#!/usr/bin/env bash
# Installs what building, testing and rehearsing need, when it is missing. Does nothing on the second run.
set -euo pipefail

declare -A brings=(
    [gcc]=gcc [make]=make
    [aarch64-linux-gnu-gcc]=gcc-aarch64-linux-gnu
    [qemu-aarch64-static]=qemu-user-static
    [systemd-nspawn]=systemd-container
    [mmdebstrap]=mmdebstrap
    [ip]=iproute2 [nft]=nftables
    [strace]=strace
    [mkfs.ext4]=e2fsprogs [btrfs]=btrfs-progs
    [age]=age
    [linux.uml]=user-mode-linux
    [ssh]=openssh-client [dpkg-deb]=dpkg [gpgv]=gpgv
)
missing=()
for program in "${!brings[@]}"; do
    command -v "$program" >/dev/null || missing+=("${brings[$program]}")
done
# A compiler without its headers is there and useless.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ -e /usr/aarch64-linux-gnu/include/stdio.h ] || missing+=(libc6-dev-arm64-cross)

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ]; then
        echo "setup: installing ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "setup: missing: ${missing[*]}" >&2
        echo "hint: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        # Without the compilers nothing can be built; without the rest only rehearsals are impossible.
        case " ${missing[*]} " in *" gcc "*|*" gcc-aarch64-linux-gnu "*|*" libc6-dev"*) exit 1 ;; esac
    fi
fi

if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing" >&2
    echo "hint: install rustup; rust-toolchain.toml names the version that it then brings by itself" >&2
    exit 1
fi
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || rustup target add "$target"
done
