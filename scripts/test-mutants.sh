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

# run_suite NAME SUITE ARGUMENTS...: runs SUITE on the build of mutant NAME, or on the sound
# one when NAME is empty; its exit status is the suite's. 100: it does not build.
run_suite() {
	local name=$1 suite=$2
	shift 2
	local tree=${name:+mutant-$name} kind=${suite%%:*} item=${suite#*:}
	tree=${tree:-release}
	local build=(make -s -j2 ${name:+MUTANT="$name"})
	case $kind in
	sim)
		"${build[@]}" "build/$tree/sim" || return 100
		timeout 300 "build/$tree/sim" "$@"
		;;
	unit)
		"${build[@]}" "build/$tree/$item" || return 100
		timeout 120 "build/$tree/$item"
		;;
	unit-asan | unit-tsan | fuzz)
		local variant=${kind#unit-}
		variant=${variant/fuzz/asan}
		[ -n "$name" ] || tree=$variant
		"${build[@]}" VARIANT="$variant" "build/$tree/$item" || return 100
		TSAN_OPTIONS=halt_on_error=1 timeout 200 "build/$tree/$item"
		;;
	kill)
		"${build[@]}" "build/$tree/kill" || return 100
		timeout 300 "build/$tree/kill" "$@"
		;;
	litmus)
		"${build[@]}" programs tools || return 100
		BUILD=build/$tree tests/litmus/run.sh
		;;
	cli)
		"${build[@]}" programs tools || return 100
		BUILD=build/$tree timeout 300 tests/cluster/cli.sh
		;;
	python)
		"${build[@]}" programs tools || return 100
		DSM_BUILD=build/$tree timeout 300 tests/python/run.sh
		;;
	cluster)
		"${build[@]}" programs tools || return 100
		LAB_BUILD=$tree timeout 300 tests/cluster/run.py "$item"
		;;
	selftests)
		MUTANT=$name timeout 900 tests/vm/selftests.sh 6.1 "$@"
		;;
	selftests-debug)
		MUTANT=$name timeout 900 tests/vm/selftests.sh debug "$@"
		;;
	*)
		echo "no suite '$suite'"
		return 100
		;;
	esac
}

# A suite that fails without a break proves nothing. Each is asked once.
declare -A is_sound
sound() {
	local key="$*"
	if [ -z "${is_sound[$key]:-}" ]; then
		is_sound[$key]=no
		run_suite "" "$@" >"$logs/sound-${1//:/-}.log" 2>&1 </dev/null && is_sound[$key]=yes
	fi
	[ "${is_sound[$key]}" = yes ]
}

caught=0 missed=0
while read -r name where suite arguments; do
	[[ -z $name || $name == \#* ]] && continue
	[ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
	read -ra words <<<"$arguments"
	start=$SECONDS
	if ! sound "$suite" "${words[@]}"; then
		missed=$((missed + 1))
		verdict=UNSURE # the suite fails without the break, too
	else
		run_suite "$name" "$suite" "${words[@]}" >"$logs/$name-${suite//:/-}.log" 2>&1 </dev/null
		status=$?
		case $status in
		0) verdict=MISSED missed=$((missed + 1)) ;;
		100)
			verdict=BROKEN missed=$((missed + 1))
			tail -n 20 "$logs/$name-${suite//:/-}.log"
			;;
		*) verdict=caught caught=$((caught + 1)) ;;
		esac
	fi
	printf '%s %-28s %-26s by %-30s %4d s\n' "$verdict" "$name" "$where" "$suite" $((SECONDS - start))
	# The evidence is in the log; the objects are worth nothing any more.
	rm -rf "build/mutant-$name"
done <tests/mutants.list
echo "$caught passed, $missed failed"
[ "$missed" = 0 ] && [ "$caught" != 0 ]
