# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Kernels for virtual machines: fetched from Debian by this machine's own apt,
# unpacked under build/vm/ and never installed. To be sourced; see README.md.

VM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VM_DIR=${VM_DIR:-$VM_ROOT/build/vm}
VM_SERIES="6.1 6.12 7.2"

vm_die() {
	echo "vm: $*" >&2
	exit 1
}

# The suites that have kernels of a series ($1).
vm_suites() {
	case $1 in
	6.1) echo bookworm bookworm-updates ;;
	6.12) echo bookworm-backports ;;
	7.2) echo trixie trixie-backports ;;
	*) vm_die "no kernel series $1: one of $VM_SERIES" ;;
	esac
}

# Where this machine gets Debian from, and the key that signs it.
vm_mirror() {
	# shellcheck disable=SC2016 # apt's own variable
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
		head -n 1
}

VM_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Lines of a sources.list for the suites of a series.
vm_sources() {
	local mirror suite
	mirror=$(vm_mirror)
	[ -n "$mirror" ] || vm_die "this machine's apt has no Debian mirror"
	for suite in $(vm_suites "$1"); do
		echo "deb [signed-by=$VM_KEYRING] $mirror $suite main"
	done
}

# An apt of its own for a series, so that this machine's stays as it is.
# 6.1 is the machine's own release: its own sources have the newest.
vm_apt_setup() {
	local apt=$VM_DIR/$1/apt
	[ -e "$apt/ready" ] && return
	[ "$1" = 6.1 ] || {
		mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
		vm_sources "$1" >"$apt/sources.list"
		cat >"$apt/conf" <<-END
			Dir::State "$apt/state";
			Dir::State::status "/dev/null";
			Dir::Cache "$apt/cache";
			Dir::Etc::sourcelist "$apt/sources.list";
			Dir::Etc::sourceparts "/dev/null";
			APT::Architecture "amd64";
			APT::Sandbox::User "";
		END
		APT_CONFIG=$apt/conf apt-get -qq update || vm_die "apt-get update for $1"
		touch "$apt/ready"
	}
}

vm_apt() {
	local conf=$VM_DIR/$1/apt/conf tool=$2
	shift 2
	if [ -e "$conf" ]; then
		APT_CONFIG=$conf "$tool" "$@"
	else
		"$tool" -o APT::Sandbox::User= "$@"
	fi
}

# The newest release of a series: 6.1.0-56-cloud-amd64 and the like.
vm_newest_release() {
	vm_apt "$1" apt-cache pkgnames linux-headers- |
		sed -n "s/^linux-headers-\($1\.[0-9].*-cloud-amd64\)\$/\1/p" | sort -V | tail -n 1
}

# The packages that hold a kernel, and what modules are built with.
vm_packages() {
	local series=$1 release=$2 version=${2%-cloud-amd64}
	echo "linux-headers-$release linux-headers-$version-common"
	case $series in
	6.1) echo "linux-image-$release linux-kbuild-6.1" ;;
	6.12) echo "linux-image-$release linux-kbuild-$version" ;;
	*) echo "linux-binary-unsigned-$release linux-modules-$release linux-kbuild-$version" \
		"linux-base-$release" ;;
	esac
}

# Headers refer to each other by where they would be installed.
vm_headers_relocate() {
	local tree=$1 release=$2
	sed -i "s,^include /usr/src/,include $tree/usr/src/," \
		"$tree/usr/src/linux-headers-$release/Makefile"
}

vm_unpack() {
	local dir=$1 release=$2 deb
	rm -rf "$dir/tree"
	mkdir -p "$dir/tree/usr/lib"
	# One layout for packages from before and after the merge of /lib.
	ln -s usr/lib "$dir/tree/lib"
	for deb in "$dir"/deb/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$dir/tree" ||
			vm_die "cannot unpack $deb"
	done
	vm_headers_relocate "$dir/tree" "$release"
	depmod -b "$dir/tree/usr" -o "$dir/tree" "$release" 2>/dev/null ||
		depmod -b "$dir/tree" "$release" || vm_die "depmod for $release"
	cp "$dir/tree/boot/vmlinuz-$release" "$dir/vmlinuz" 2>/dev/null ||
		cp "$dir/tree/usr/lib/modules/$release/"vmlinuz* "$dir/vmlinuz" ||
		vm_die "no kernel image in the packages of $release"
}

# vm_kernel SERIES: sees to it that build/vm/SERIES/ has vmlinuz, the file
# "release" and tree/ with modules and headers. Several may call at once.
vm_kernel() {
	local series=$1 dir=$VM_DIR/$1 release
	if [ "$series" = debug ]; then
		"$VM_ROOT/tests/vm/debug-kernel.sh"
		return
	fi
	vm_suites "$series" >/dev/null
	mkdir -p "$dir"
	(
		flock 9
		[ -e "$dir/release" ] && exit 0
		vm_apt_setup "$series"
		release=$(vm_newest_release "$series")
		[ -n "$release" ] || vm_die "no kernel $series in apt: try apt-get update"
		echo "vm: fetching kernel $release" >&2
		rm -rf "$dir/deb"
		mkdir -p "$dir/deb"
		# shellcheck disable=SC2046
		(cd "$dir/deb" && vm_apt "$series" apt-get -qq download \
			$(vm_packages "$series" "$release")) || vm_die "download of $release"
		vm_unpack "$dir" "$release"
		rm -rf "$dir/deb"
		echo "$release" >"$dir/release"
	) 9>"$dir/lock" || exit 1
}

# vm_source: sees to it that build/vm/source/ has what we use of the kernel's
# own source: the selftest harness and checkpatch.
vm_source() {
	local dir=$VM_DIR/source
	mkdir -p "$dir"
	(
		flock 9
		[ -e "$dir/ready" ] && exit 0
		echo "vm: fetching the kernel's source" >&2
		mkdir -p "$dir/deb"
		(cd "$dir/deb" && apt-get -qq -o APT::Sandbox::User= download linux-source-6.1) ||
			vm_die "download of linux-source-6.1"
		dpkg-deb --fsys-tarfile "$dir"/deb/*.deb |
			tar -xO ./usr/src/linux-source-6.1.tar.xz |
			tar -xJ --strip-components=1 -C "$dir" --wildcards \
				'*/tools/testing/selftests/kselftest*.h' '*/scripts/checkpatch.pl' \
				'*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' ||
			vm_die "cannot unpack the kernel's source"
		rm -rf "$dir/deb"
		touch "$dir/ready"
	) 9>"$dir/lock" || exit 1
}
