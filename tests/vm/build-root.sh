# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# A small Debian of a newer release under build/vm/SERIES/root/, for kernels whose
# modules this machine's compiler cannot build. To be sourced after kernel.sh.

# The compiler that a series' headers ask for, where it is not this machine's.
vm_foreign_compiler() {
	case $1 in
	7.2) echo gcc-14 ;;
	esac
}

# vm_build_root SERIES: sees to it that the root is there, with make, compiler and headers.
vm_build_root() {
	local series=$1 dir=$VM_DIR/$1 release base sources
	[ "$(id -u)" = 0 ] || vm_die "building for $series needs root: a chroot"
	(
		flock 9
		[ -e "$dir/root/ready" ] && exit 0
		release=$(cat "$dir/release")
		base=$(vm_suites "$series" | cut -d ' ' -f 1)
		mapfile -t sources < <(vm_sources "$series")
		echo "vm: making a $base root to build for $release in" >&2
		rm -rf "$dir/root"
		mmdebstrap --quiet --variant=apt \
			--include="make,$(vm_foreign_compiler "$series"),linux-headers-$release" \
			"$base" "$dir/root" "${sources[@]}" >"$dir/root.log" 2>&1 || {
			tail -n 5 "$dir/root.log" >&2
			exit 1
		}
		touch "$dir/root/ready"
	) 9>"$dir/root.lock" || vm_die "no root to build for $series in"
}

# vm_chroot_make SERIES WORK ARGUMENT...: make in the root, with WORK at its own place. The
# mounts end with the command: objtool wants /proc.
vm_chroot_make() {
	local root=$VM_DIR/$1/root work=$2 release
	release=$(cat "$VM_DIR/$1/release")
	shift 2
	mkdir -p "$root$work"
	# shellcheck disable=SC2016
	unshare --mount sh -c 'mount -t proc proc "$1/proc" && mount --bind "$2" "$1$2" &&
		root=$1 && shift 2 && exec chroot "$root" "$@"' sh "$root" "$work" \
		make -C "/usr/src/linux-headers-$release" M="$work" "$@"
}
