#!/bin/sh
# SPDX-License-Identifier: MIT
# The demo's second part, on machine $1 (1 or 2): a map that both machines share. Each
# writes an entry; then the first one changes an entry until the second has seen it change.
me=$1
map=dsm:demo/board

# Polls COMMAND for up to 20 seconds.
until_true() {
	left=200
	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || { echo "not in time: $*"; return 1; }
		sleep 0.1
	done
}
# shellcheck disable=SC2317 # called through until_true
both_wrote() { [ "$(dsm map list $map 2>/dev/null | grep -c '^machine')" = 2 ]; }
has_seen() { dsm map get $map seen >/dev/null 2>&1; }
# shellcheck disable=SC2317 # called through until_true
tick() {
	n=$((n + 1))
	dsm map set $map tick "$n" || return 1
	has_seen
}

echo "a map of both machines, $map"
dsm map set $map "machine $me" "$(uname -sr)" || exit 1
until_true both_wrote || exit 1
if [ "$me" = 1 ]; then
	n=0
	until_true tick || exit 1
	echo "changed 'tick' $n times"
else
	dsm map watch --present --count=3 --timeout=20000 $map tick || exit 1
	dsm map set $map seen "by machine 2" || exit 1
fi
dsm map list $map
