#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles in each deliberate break of tests/mutants.list, one at a time, and shows that
# the suite named there fails because of it.
#
#   scripts/test-mutants.sh [NAME...]
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
logs=build/test/mutants
mkdir -p "$logs"

# Runs SUITE on the build of mutant NAME; its exit status is the suite's. 100: does not build.
run_mutant() {
	local name=$1 suite=$2
	shift 2
	local tree=mutant-$name kind=${suite%%:*} item=${suite#*:}
	case $kind in
	sim)
		make -s -j2 MUTANT="$name" "build/$tree/sim" || return 100
		timeout 300 "build/$tree/sim" "$@"
		;;
	unit)
		make -s -j2 MUTANT="$name" "build/$tree/$item" || return 100
		timeout 120 "build/$tree/$item"
		;;
	cluster)
		make -s -j2 MUTANT="$name" programs tools || return 100
		LAB_BUILD=$tree timeout 300 tests/cluster/run.py "$item"
		;;
	selftests)
		MUTANT=$name timeout 900 tests/vm/selftests.sh 6.1
		;;
	*)
		echo "no suite '$suite'"
		return 100
		;;
	esac
}

caught=0 missed=0
while read -r name where suite arguments; do
	[[ -z $name || $name == \#* ]] && continue
	[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
	read -ra words <<<"$arguments"
	start=$SECONDS
	run_mutant "$name" "$suite" "${words[@]}" >"$logs/$name.log" 2>&1 </dev/null
	status=$?
	if [ $status = 0 ] || [ $status = 100 ]; then
		missed=$((missed + 1))
		verdict="MISSED"
		[ $status = 0 ] || { verdict="BROKEN"; tail -n 20 "$logs/$name.log"; }
	else
		caught=$((caught + 1))
		verdict="caught"
	fi
	printf '%s %-28s %-26s by %-30s %4d s\n' "$verdict" "$name" "$where" "$suite" $((SECONDS - start))
	# The evidence is in the log; the objects are worth nothing any more.
	rm -rf "build/mutant-$name"
done <tests/mutants.list
echo "$caught passed, $missed failed"
[ "$missed" = 0 ] && [ "$caught" != 0 ]
