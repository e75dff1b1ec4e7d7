#!/usr/bin/env bash
# Called by Buildroot when all packages are installed: checks the one program of the root file system, and puts it among
# the images under the name that it has there. $1 is the folder of the root file system.
set -euo pipefail

target=$1
# Buildroot's date is its own release's; the appliance's is that of its own sources.
unset SOURCE_DATE_EPOCH
drawbridge-image binary --workspace "$BR2_EXTERNAL_DRAWBRIDGE_PATH/.." --binary "$target/init" --out "$BINARIES_DIR"
