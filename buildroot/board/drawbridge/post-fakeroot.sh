#!/usr/bin/env bash
# Called by Buildroot for each root file system that it writes, on a copy of the target folder ($1): leaves in it what the
# appliance has and nothing else. The target folder itself stays whole, since Buildroot writes into it again on the next
# run. What goes are the C library's shared parts, which a static program has no use for, and Buildroot's own few files.
set -euo pipefail

target=$1
find "$target" -mindepth 1 -maxdepth 1 ! -name init ! -name profile.json -exec rm -rf {} +
# As image/src/initramfs.rs has it.
for folder in data dev proc run sys tmp; do mkdir -m 0755 "$target/$folder"; done
mknod -m 0600 "$target/dev/console" c 5 1
mknod -m 0666 "$target/dev/null" c 1 3
