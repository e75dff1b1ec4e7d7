#!/usr/bin/env bash
# Called by Buildroot after post-image.sh, for configurations that are meant for QEMU: writes start-qemu.sh, with the line of
# readme.txt that ends in the configuration's name. $1 is the folder of the images, the last argument the configuration.
set -euo pipefail

images=$1
name=$(basename "${!#}")
line=$(sed -n "s/^ *\(qemu-system-.*\) # $name\$/\1/p" "$(dirname "$0")/readme.txt")
if [ -z "$line" ]; then
  echo "readme.txt has no line for $name." >&2
  exit 1
fi
# The images' names stay as they are, and are meant from the folder of the script.
cat >"$images/start-qemu.sh" <<TXT
#!/bin/sh
cd "\$(dirname "\$0")" || exit 1
PATH="$HOST_DIR/bin:\$PATH"
exec ${line//output\/images\//} "\$@"
TXT
chmod +x "$images/start-qemu.sh"
