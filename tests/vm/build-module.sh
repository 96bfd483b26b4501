#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds dsm.ko for Debian's cloud kernel of a series and prints where it is.
#
#   tests/vm/build-module.sh SERIES [MAKE ARGUMENT...]
#
# MUTANT=NAME compiles a deliberate break in.
set -euo pipefail
# shellcheck source=tests/vm/kernel.sh
. "$(dirname "${BASH_SOURCE[0]}")/kernel.sh"
# shellcheck source=tests/vm/build-root.sh
. "$(dirname "${BASH_SOURCE[0]}")/build-root.sh"
series=$1
shift
vm_kernel "$series" >&2
release=$(cat "$VM_DIR/$series/release")
work=$VM_ROOT/build/module-$series${MUTANT:+-$MUTANT}
mkdir -p "$work"
(
	flock 9
	cp -pru "$VM_ROOT/Kbuild" "$VM_ROOT/kmod" "$VM_ROOT/uapi" "$work/"
	# The headers ship no vmlinux that BTF could be made from.
	arguments=(-j2 CONFIG_DEBUG_INFO_BTF_MODULES= ${MUTANT:+KCFLAGS=-DDSM_MUTANT_$MUTANT} "$@" modules)
	if [ -n "$(vm_foreign_compiler "$series")" ]; then
		vm_build_root "$series"
		vm_chroot_make "$series" "$work" "${arguments[@]}" >&2
	else
		make -C "$VM_DIR/$series/tree/usr/src/linux-headers-$release" M="$work" "${arguments[@]}" >&2
	fi
) 9>"$work/lock"
echo "$work/kmod/dsm.ko"
