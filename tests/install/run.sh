#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `make install` leaves behind works without the source tree; uninstall and clean
# remove what is ours and nothing else.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check NAME COMMAND...: one test; its output is shown when it fails.
check() {
	local name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		passed=$((passed + 1))
		echo "ok     $name"
	else
		failed=$((failed + 1))
		echo "FAILED $name"
		cat "$work/out"
	fi
}

root=$work/root
prefix=/opt/dsm
at=$root$prefix
# The tests run in the installed place, so that is where the .pc file must point.
pc() { PKG_CONFIG_PATH=$at/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" dsm; }
run() { LD_LIBRARY_PATH=$at/lib DSM_RUNDIR=$work/run PATH=$at/bin:$PATH DSM_PAGER=uffd timeout 30 "$@"; }

all_files() {
	local file
	for file in bin/dsm bin/dsmd lib/libdsm.so.0 lib/libdsm.so lib/libdsm.a lib/pkgconfig/dsm.pc \
		include/dsm.h include/dsm/dsm.h include/linux/dsm.h share/man/man1/dsm.1 \
		share/man/man8/dsmd.8 share/man/man5/dsm.conf.5 share/man/man3/libdsm.3 \
		share/man/man4/dsm.4 share/bash-completion/completions/dsm \
		lib/systemd/system/dsmd.service; do
		[ -e "$at/$file" ] || { echo "not installed: $file"; return 1; }
	done
}
compile() { # COMPILER OUTPUT FLAGS...
	local compiler=$1 output=$2
	shift 2
	# shellcheck disable=SC2046 # flags are words
	"$compiler" -Wall -Wextra -Werror "$@" $(pc --cflags) -o "$work/$output" tests/install/api.c \
		-x none $(pc --libs)
}
compile_static() {
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror $(pc --cflags) -o "$work/api-static" tests/install/api.c \
		"$at/lib/libdsm.a" -pthread
}
soname() { objdump -p "$at/lib/libdsm.so.0" | grep -q 'SONAME *libdsm.so.0'; }
names_only_dsm() {
	local other
	other=$(nm -D --defined-only "$at/lib/libdsm.so.0" | awk '$2 != "A" && $3 !~ /^(dsm_|shm_heap_)/ {print $3}')
	[ -z "$other" ] || { echo "exported besides dsm_* and shm_heap_*: $other"; return 1; }
}
# It finds the installed library by itself.
python() {
	local folder
	folder=$(echo "$at"/lib/python3*/dist-packages)
	run env -u LD_LIBRARY_PATH PYTHONPATH="$folder" DSM_PORT=19814 /usr/bin/python3 -c "import dsm
a = dsm.array('dsm:grid', (16, 16))
a += 1
assert a.sum() == 256
assert '$at/lib/libdsm.so.0' in open('/proc/self/maps').read()"
}
clean_is_careful() {
	local copy=$work/copy
	mkdir -p "$copy/kmod" "$copy/build/x"
	cp -r Makefile scripts "$copy/"
	touch "$copy/foreign.ko" "$copy/kmod/foreign.ko" "$copy/build/x/ours.o"
	make -s -C "$copy" clean &&
		[ -e "$copy/foreign.ko" ] && [ -e "$copy/kmod/foreign.ko" ] && [ ! -e "$copy/build" ]
}
nothing_left() { [ -z "$(find "$root" ! -type d)" ] || { find "$root" ! -type d; return 1; }; }

check "make install" make -s install DESTDIR="$root" PREFIX=$prefix
check "everything is there" all_files
check "the library has its soname" soname
check "the library exports dsm_* and shm_heap_* only" names_only_dsm
check "a C program compiles against it" compile cc api-c
check "a C++ program compiles against it" compile g++ api-cxx -x c++
check "a C program links statically" compile_static
check "the C program runs" run "$work/api-c" 19811 512
check "the C++ program runs" run "$work/api-cxx" 19812 512
check "the static program runs" run "$work/api-static" 19813 512
check "the Python module runs" python
check "dsm --version" run "$at/bin/dsm" --version
check "dsmd --help" run "$at/bin/dsmd" --help
check "the unit file names the installed agent" grep -q "$prefix/bin/dsmd" "$at/lib/systemd/system/dsmd.service"
check "make uninstall" make -s uninstall DESTDIR="$root" PREFIX=$prefix
check "nothing is left" nothing_left
check "make clean leaves foreign modules alone" clean_is_careful
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
