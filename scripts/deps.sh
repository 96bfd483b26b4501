#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that a make target needs and that are missing.
#
#   scripts/deps.sh [GROUP...]     groups: build test vm bench lint docs all
#
# Quick when nothing is missing. With DSM_NO_DEPS=1 it only reports.
set -eu

packages() { # GROUP: the group's packages, one word each
	case $1 in
	build) echo gcc make pkg-config libc6-dev libnl-3-dev libnl-genl-3-dev libuv1-dev \
		libjansson-dev libinih-dev python3-dev ;;
	test) packages build; packages vm
		echo libcmocka-dev iproute2 procps python3 python3-numpy python3-pytest g++ util-linux ;;
	vm) packages build
		echo qemu-system-x86 busybox-static cpio xz-utils kmod bc flex bison libelf-dev \
			pahole mmdebstrap patch file ca-certificates ;;
	bench) packages build; packages vm
		echo iproute2 python3 util-linux openmpi-bin libopenmpi-dev g++ libmimalloc-dev \
			libboost-dev liblmdb-dev redis-server ;;
	lint) packages build; packages vm
		echo sparse clang-tidy clang-format shellcheck mandoc python3 perl universal-ctags git libcmocka-dev \
			libopenmpi-dev libmimalloc-dev liblmdb-dev ;;
	docs) packages build; echo doxygen ;;
	all) packages docs; packages test; packages bench; packages lint ;;
	*) echo "deps.sh: no group '$1' (build test vm bench lint docs all)" >&2; exit 2 ;;
	esac
}

[ $# -gt 0 ] || set -- build
wanted=$(for group; do packages "$group"; done | tr ' ' '\n' | sort -u)

if ! command -v dpkg-query >/dev/null; then
	echo "deps.sh: not a Debian system; please see that these are here: $(echo "$wanted" | tr '\n' ' ')" >&2
	exit 0
fi

# shellcheck disable=SC2086 # a word list on purpose
here=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^ii *//p')
missing=
for package in $wanted; do
	case "
$here
" in *"
$package
"*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if [ -n "${DSM_NO_DEPS:-}" ]; then
	echo "deps.sh: missing packages:$missing (DSM_NO_DEPS is set: not installing)" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps.sh: missing packages:$missing" >&2
		echo "deps.sh: neither root nor sudo here; as root: apt-get install$missing" >&2
		exit 1
	fi
	as_root="sudo -E"
fi
echo "deps.sh: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt="$as_root apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
# shellcheck disable=SC2086 # word lists on purpose, here and below
install() { $apt install -y --no-install-recommends $missing; }
# The package lists may be old or absent: fetch them only when the first try fails.
if ! install; then
	$apt update
	install || {
		echo "deps.sh: could not install:$missing" >&2
		exit 1
	}
fi
