#!/bin/busybox sh
# What udhcpc and dhclient run when they have a lease, with the lease in the environment: the address, and the default route.
# shellcheck disable=SC2154
case ${1:-$reason} in
  bound | renew) address=$ip netmask=$subnet gateway=${router%% *} ;;
  BOUND | RENEW | REBIND | REBOOT) address=$new_ip_address netmask=$new_subnet_mask gateway=${new_routers%% *} ;;
  *) exit 0 ;;
esac
/bin/busybox ifconfig "$interface" "$address" netmask "$netmask"
/bin/busybox ip route replace default via "$gateway"
