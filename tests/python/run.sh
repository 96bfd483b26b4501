#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The Python module's tests, with Debian's Python, numpy and pytest.
#
#   tests/python/run.sh [PYTEST-ARGUMENT...]      DSM_BUILD=build/asan: that build
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
export DSM_BUILD=$PWD/${DSM_BUILD:-build/release} PYTHONDONTWRITEBYTECODE=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ "${DSM_BUILD##*/}" = asan ]; then
	# Python itself frees little at its end: only what is used wrongly counts.
	LD_PRELOAD=$(cc -print-file-name=libasan.so)
	export LD_PRELOAD ASAN_OPTIONS=detect_leaks=0
fi
/usr/bin/python3 -m pytest -p no:cacheprovider -o faulthandler_timeout=60 -r fE tests/python "$@" |
	tee "$log"
status=${PIPESTATUS[0]}
count() { grep -oE "[0-9]+ $1" <<<"$(tail -n 1 "$log")" | grep -oE '[0-9]+' || echo 0; }
passed=$(count passed) failed=$(($(count failed) + $(count 'errors?')))
# Died half way, or no test at all.
[ "$failed" != 0 ] || [ "$status" = 0 ] || failed=1
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
