#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Short runs of every fuzz target, under ASan and UBSan, always the same inputs.
#
#   scripts/run-fuzz.sh [VARIANT]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
variant=${1:-asan}
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

read -ra programs < <(make -s --no-print-directory VARIANT="$variant" print-FUZZ)
passed=0 failed=0
mkdir -p build/test
for name in "${programs[@]}"; do
	log=build/test/$variant-$name.log
	if timeout -k 5 120 "build/$variant/$name" >"$log" 2>&1 && tail -n 1 "$log" | grep -q '^1 passed, 0 failed$'; then
		passed=$((passed + 1))
		printf '%-20s %s\n' "$name" "$(tail -n 2 "$log" | head -n 1)"
	else
		failed=$((failed + 1))
		printf '%-20s failed:\n' "$name"
		cat "$log"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
