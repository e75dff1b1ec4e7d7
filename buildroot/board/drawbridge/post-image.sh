#!/usr/bin/env bash
# Called by Buildroot when kernel and root file system are there: makes of them what image/ makes without Buildroot, by the
# same program, under the same names.
# $1 the folder of the images, $2 the kernel's build folder, $3 the archive of its sources, $4 the package's build folder
set -euo pipefail

images=$1 linux=$2 source=$3 package=$4
sources=$BR2_EXTERNAL_DRAWBRIDGE_PATH/..

# The text of a setting of Buildroot's configuration.
setting() {
  sed -n "s/^BR2_PACKAGE_DRAWBRIDGE_$1=\"\(.*\)\"\$/\1/p" "$BR2_CONFIG"
}

image() {
  drawbridge-image "$@" --workspace "$sources" --out "$images" --profile "$(setting PROFILE)" --stub "$(setting STUB)"
}

# Buildroot's date is its own release's; the appliance's is that of its own sources.
unset SOURCE_DATE_EPOCH

# Ends with an error if Buildroot or Kconfig has lost a line of board/x86_64/linux.config.
image kernel --kernel "$images/bzImage" --kernel-config "$linux/.config" --source "$source"
image system
image disk --size "$(setting DISK_SIZE)"

# Buildroot's own list of packages. It changes nothing, and is made apart from the make that is running, so that it takes no part
# in that one's jobs; what was said on its command line about Rust must be said again.
list=$BASE_DIR/build/show-info.json
env -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS -u MAKELEVEL make --no-print-directory -s -C "$BASE_DIR" \
  ${RUST_BIN_VERSION:+"RUST_BIN_VERSION=$RUST_BIN_VERSION"} show-info >"$list"
image bom --messages "$package/cargo-messages.json" --buildroot "$list"
image sizes
