#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs every unit test program of one variant and adds up what cmocka reports.
#
#   scripts/run-unit.sh VARIANT
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
variant=${1:-release}
# The first report of a sanitizer ends its program with an error.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# A test forks users of channels, which have a thread of their own.
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:die_after_fork=0

# ThreadSanitizer leaves programs 1.5 TiB, in which a region of 1 TiB finds its place, or not, by chance
# where addresses are random.
steady=()
[ "$variant" != tsan ] || steady=(setarch -R)

read -ra programs < <(make -s --no-print-directory VARIANT="$variant" print-UNIT)
passed=0 failed=0
for name in "${programs[@]}"; do
	log=build/test/$variant-${name//\//-}.log
	mkdir -p "$(dirname "$log")"
	timeout -k 5 120 "${steady[@]}" "build/$variant/$name" >"$log" 2>&1
	status=$?
	ok=$(grep -c '^\[       OK \]' "$log")
	bad=$(awk '/^ *[0-9]+ FAILED TEST\(S\)$/ { n += $1 } END { print n + 0 }' "$log")
	# Died half way, a sanitizer's report, or no test at all: one failure that no line shows.
	if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ "$ok" = 0 ]; }; then bad=1; fi
	printf '%-40s %4d passed %3d failed  exit status %d\n' "$name" "$ok" "$bad" "$status"
	[ "$bad" = 0 ] || cat "$log"
	passed=$((passed + ok)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
