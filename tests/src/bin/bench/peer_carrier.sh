#!/bin/busybox sh
# What the peer does that gets leases in a guest: each time that its port has carrier it runs udhcpc once. The kernel that it
# runs on starts no scripts by their first line: init's table names the shell.
box=/bin/busybox
$box mount -t proc proc /proc
$box mount -t sysfs sysfs /sys
$box ip link set lo up
$box ip link set eth0 up

carrier() { read -r up </sys/class/net/eth0/carrier && [ "$up" = 1 ]; }
while :; do
  until carrier; do $box usleep 10000; done
  $box udhcpc -f -q -n -i eth0 -s /bin/route -t 30 -T 1 >/dev/null 2>&1
  echo 'bench: bound'
  while carrier; do $box usleep 10000; done
  $box ip addr flush dev eth0
  echo 'bench: no carrier'
done
