#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The series "debug": Debian's source of 6.1 with debug.config, a kernel that watches
# itself. Built once, in a few minutes, under build/vm/debug/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/vm/kernel.sh
. "$here/kernel.sh"
dir=$VM_DIR/debug source=$VM_DIR/debug/source

# All of it but its documentation. That of another release is replaced.
unpack() {
	[ -e "$source/unpacked" ] && return
	echo "vm: fetching the kernel's source" >&2
	rm -rf "$dir/deb" "$source"
	mkdir -p "$dir/deb" "$source"
	(cd "$dir/deb" && apt-get -qq -o APT::Sandbox::User= download linux-source-6.1) ||
		vm_die "download of linux-source-6.1"
	dpkg-deb --fsys-tarfile "$dir"/deb/*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
		tar -xJ --strip-components=1 -C "$source" --exclude='*/Documentation/*/*' ||
		vm_die "cannot unpack the kernel's source"
	rm -rf "$dir/deb"
	touch "$source/unpacked"
}

# What the configuration asks for and did not get would be looked for in vain.
configure() {
	local line
	make -s -C "$source" KCONFIG_ALLCONFIG="$here/debug.config" allnoconfig >"$dir/config.log" 2>&1 || {
		cat "$dir/config.log" >&2
		vm_die "cannot configure the debug kernel"
	}
	while read -r line; do
		case $line in CONFIG_*) ;; *) continue ;; esac
		grep -qxF "$line" "$source/.config" || vm_die "the debug kernel cannot have $line"
	done <"$here/debug.config"
}

build() {
	local release
	echo "vm: building the debug kernel" >&2
	nice make -s -j2 -C "$source" bzImage modules >"$dir/build.log" 2>&1 || {
		tail -n 20 "$dir/build.log" >&2
		vm_die "the debug kernel does not build"
	}
	release=$(make -s -C "$source" kernelrelease)
	rm -rf "$dir/tree"
	mkdir -p "$dir/tree/usr/src"
	make -s -C "$source" INSTALL_MOD_PATH="$dir/tree" modules_install >>"$dir/build.log" 2>&1
	ln -s ../../../source "$dir/tree/usr/src/linux-headers-$release"
	cp "$source/arch/x86/boot/bzImage" "$dir/vmlinuz"
	cp "$here/debug.config" "$dir/built.config"
	echo "$release" >"$dir/release"
}

mkdir -p "$dir"
(
	flock 9
	[ -e "$dir/release" ] && cmp -s "$here/debug.config" "$dir/built.config" && exit 0
	rm -f "$dir/release"
	unpack
	configure
	build
) 9>"$dir/lock"
