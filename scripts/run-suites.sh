#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the suites of scripts/suites.list, or those named, each with its time-out.
#
#   scripts/run-suites.sh [SUITE...]
#
# One line per suite, the log of each that failed, and the sum alone on the
# last line. Logs stay in build/test/.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
logs=build/test
mkdir -p "$logs"
export LC_ALL=C

names=() && declare -A lane limit command
while read -r name its_lane seconds words; do
	[[ -z $name || $name == \#* ]] && continue
	names+=("$name")
	lane[$name]=$its_lane limit[$name]=$seconds command[$name]=$words
done <scripts/suites.list

wanted=("$@")
if [ $# = 0 ]; then
	for name in "${names[@]}"; do
		[ "${lane[$name]}" = named ] || wanted+=("$name")
	done
fi
for name in "${wanted[@]}"; do
	[ -n "${command[$name]:-}" ] && continue
	echo "run-suites: no suite '$name'; there are: ${names[*]}" >&2
	exit 2
done

# Namespaces, userfaultfd and loading modules want root.
as_root=()
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "run-suites: root, or sudo without a password, is needed" >&2
		exit 2
	fi
	as_root=(sudo -E)
fi

# Runs one suite; leaves "PASSED FAILED" in build/test/NAME.sum.
run_suite() {
	local name=$1 log=$logs/$1.log start=$SECONDS status words passed=0 failed=0 note=
	read -ra words <<<"${command[$name]}"
	"${as_root[@]}" timeout -k 15 "${limit[$name]}" "${words[@]}" >"$log" 2>&1 </dev/null &
	child=$!
	wait "$child"
	status=$?
	child=
	if [[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
	else
		failed=1 note=" (no sum at its end)"
	fi
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		note=" (time-out after ${limit[$name]} s)"
	fi
	# A suite that passes nothing, or exits with an error, did not pass.
	if [ "$failed" = 0 ] && { [ "$status" != 0 ] || [ "$passed" = 0 ]; }; then
		failed=1
		note="${note:- (exit status $status)}"
	fi
	echo "$passed $failed" >"$logs/$name.sum"
	{
		flock 9
		if [ "$failed" != 0 ]; then
			echo "--- $name: $log"
			tail -n "${LOG_LINES:-200}" "$log"
			echo "--- end of $name"
		fi
		printf '%-6s %-15s %6d passed %4d failed %5d s%s\n' \
			"$([ "$failed" = 0 ] && echo ok || echo FAILED)" \
			"$name" "$passed" "$failed" $((SECONDS - start)) "$note"
	} 9>"$logs/.output"
}

run_lane() {
	local name child=
	trap 'if [ -n "$child" ]; then kill "$child"; wait "$child"; fi 2>/dev/null; exit 130' INT TERM
	for name in "${wanted[@]}"; do
		if [ "${lane[$name]}" = "$1" ]; then run_suite "$name"; fi
	done
}

lanes=()
stop() {
	trap - INT TERM
	[ ${#lanes[@]} = 0 ] || kill "${lanes[@]}" 2>/dev/null
	wait
	exit 130
}
trap stop INT TERM

for name in "${wanted[@]}"; do rm -f "$logs/$name.sum"; done
for each in a b; do
	run_lane $each &
	lanes+=($!)
done
wait "${lanes[@]}"
for each in alone named; do
	run_lane $each &
	lanes=($!)
	wait "${lanes[@]}"
done

passed=0 failed=0
for name in "${wanted[@]}"; do
	# A suite without a result was cut off.
	read -r p f <"$logs/$name.sum" || { p=0 f=1; }
	passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
