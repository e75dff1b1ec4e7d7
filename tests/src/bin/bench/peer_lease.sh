#!/bin/busybox sh
# What udhcpc runs when it has a lease, with the lease in the environment.
# shellcheck disable=SC2154
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
/bin/busybox ip addr replace "$ip/${mask:-24}" dev "$interface"
