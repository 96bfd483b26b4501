#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The memory model's promises on four native nodes, userfaultfd pager.
#
#   tests/litmus/run.sh [ROUNDS [SEED]]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
variant=${VARIANT:-release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Four ports below those that the system gives out by itself.
port=$((20000 + $$ % 3000 * 4))
export DSM_RUNDIR=$work DSM_CONFIG=/dev/null DSM_PAGER=uffd DSM_CLUSTER=litmus-$$ DSM_LOG=warn
export DSM_NO_DISCOVERY=yes DSM_JOIN=127.0.0.1:$port DSM_ELECT_TIME=20
unset DSM_PORT DSM_CHUNKS
timeout -k 5 200 "${BUILD:-build/$variant}/litmus" "$port" "$@" | tee "$work/out"
status=${PIPESTATUS[0]}
# A litmus that hung or died has no last line of its own.
if [ "$status" -gt 1 ]; then
	echo "litmus ended with status $status"
	echo "$(grep -c '^ok ' "$work/out") passed, 1 failed"
fi
exit "$status"
