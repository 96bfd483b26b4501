#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Boots one of two machines for the cluster's cases: vm-machine.sh SIDE DIRECTORY CONTROL_PORT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/vm/kernel.sh
. "$here/../vm/kernel.sh"
# shellcheck source=tests/vm/guest.sh
. "$here/../vm/guest.sh"
side=$1 directory=$2 port=$3
build=$VM_ROOT/build/${LAB_BUILD:-release}
series=${LAB_KERNEL:-6.1}
(
	flock 9
	if [ ! -e "$directory/initramfs" ]; then
		cat >"$directory/main" <<-'END'
			#!/bin/sh
			side=$(sed 's/.*dsm.side=\([01]\).*/\1/' /proc/cmdline)
			ip addr add "10.99.0.$((side + 1))/24" brd 10.99.0.255 dev eth0
			ip link set eth0 up
			ip addr add 10.0.2.15/24 dev eth1
			ip link set eth1 up
			# A shell for every connection, until the plug is pulled.
			exec nc -ll -p 7 -e /bin/sh
		END
		chmod +x "$directory/main"
		module=$("$here/../vm/build-module.sh" "$series" 2>"$directory/module.log")
		files=("$directory/main=/main" "$module=/dsm.ko")
		for program in dsmd dsm puppet heat dsm_bench floor_remote; do
			files+=("$build/$program=/bin/$program")
		done
		vm_initramfs "$directory/initramfs" "$series" "virtio_pci virtio_net" "${files[@]}"
	fi
) 9>"$directory/lock"
# The second one's cable is plugged into the first one's.
until [ "$side" = 0 ] || [ -S "$directory/cable" ]; do sleep 0.05; done
# shellcheck disable=SC2046 # words of vm_lan are options
VM_CPUS=1 VM_MEMORY=512M VM_APPEND="dsm.side=$side" \
	vm_boot "$series" "$directory/initramfs" "$directory/console$side.log" 1200 \
	$(vm_lan "$side" "$directory/cable") \
	-netdev "user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:$port-10.0.2.15:7" \
	-device virtio-net-pci,netdev=control,mac=52:54:00:d5:01:0"$side"
