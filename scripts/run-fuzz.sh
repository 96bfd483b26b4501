#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs every fuzz target for its usual number of inputs, under ASan and UBSan.
#
#   scripts/run-fuzz.sh [RUNS [SEED]]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

read -ra targets < <(make -s --no-print-directory VARIANT=asan print-FUZZ)
passed=0 failed=0
for target in "${targets[@]}"; do
	echo "--- $target $*"
	if timeout -k 5 200 "build/asan/$target" "$@"; then
		passed=$((passed + 1))
	else
		echo "$target ended with $?"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
