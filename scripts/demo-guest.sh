#!/bin/sh
# SPDX-License-Identifier: MIT
# /main of a demo guest (busybox): the module, an agent without any configuration, heat, a map.
side=$(sed 's/.*dsm.side=\([01]\).*/\1/' /proc/cmdline)
hostname "machine$((side + 1))"
ip addr add "10.99.0.$((side + 1))/24" brd 10.99.0.255 dev eth0
ip link set eth0 up
insmod /dsm.ko || exit 1
dsmd >/tmp/dsmd.log 2>&1 &
agent=$!

# Polls COMMAND for up to $1 seconds.
until_true() {
	left=$(($1 * 20))
	shift
	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || { echo "not in time: $*"; cat /tmp/dsmd.log; return 1; }
		usleep 50000
	done
}
# shellcheck disable=SC2317 # called through until_true
two_members() { dsm status --json 2>/dev/null | tr -d ' \n' | grep -q '"members":2'; }

until_true 60 two_members || exit 1
sed 's/^/dsmd: /' /tmp/dsmd.log
# shellcheck disable=SC2046 # words of the kernel's command line
heat $(sed 's/.*dsm.heat=\([^ ]*\).*/\1/; s/,/ /g' /proc/cmdline)
status=$?
/demo-map.sh $((side + 1)) || status=1
echo "@stats $(dsm stats --json | tr -d '\n')"
kill -TERM $agent
wait $agent
echo "dsmd left with $?"
rmmod dsm && echo "module unloaded"
exit $status
