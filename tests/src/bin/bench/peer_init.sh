#!/bin/busybox sh
# The init of the peer: an address by DHCP, then an SSH server; no supervision, no sandbox, nothing kept. When somebody types
# a line, it counts for a minute what an idle system does, and says that in the words of the lab's image.
box=/bin/busybox
echo 'bench: init'
$box mount -t proc proc /proc
$box mount -t sysfs sysfs /sys
$box mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do $box insmod "$module"; done
$box ip link set lo up
$box ip link set eth0 up
$box udhcpc -i eth0 -s /bin/lease -t 30 -T 1 >/dev/null 2>&1
/usr/sbin/dropbear -R
echo 'bench: serves'

# shellcheck disable=SC2016 # awk's own dollars
number() { $box awk -v word="$1" '$1 == word { print $2; exit }' "$2"; }
while read -r _; do
  switches=$(number ctxt /proc/stat) interrupts=$(number intr /proc/stat)
  $box sleep 60
  switches=$(($(number ctxt /proc/stat) - switches)) interrupts=$(($(number intr /proc/stat) - interrupts))
  total=$(number MemTotal: /proc/meminfo)
  used=$((total - $(number MemAvailable: /proc/meminfo)))
  echo "bench: idle: $used of $total KiB in use, $switches context switches and $interrupts interrupts in a minute"
done
exec $box sleep 1000000
