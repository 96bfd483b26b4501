# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: dsm run, and all the ways it ends.

# Directories of runs that are there now.
run_dirs() {
	find "$dir" -maxdepth 1 -name 'dsm-run-*'
}

nothing_left() {
	run_dirs
	pgrep --ns $$ --nslist net -af "cluster run-" && return 1
	[[ -z $(run_dirs) ]]
}

# run_gives CODE ARGS...: out, err and code as of ask.
run_gives() {
	local want=$1
	shift
	ask run --pager uffd --chunks 1024 "$@"
	echo "dsm run $*: status $code; stdout: $out; stderr: $err"
	[[ $code == "$want" ]]
}

lines_are() {
	diff <(sort <<<"$out") <(printf '%s\n' "$@" | sort)
}

programs_run() {
	export TMPDIR=$dir
	# shellcheck disable=SC2016 # the program's own variables
	check "three nodes run" run_gives 0 -n 3 -- sh -c 'echo "node $DSM_NODE_INDEX of $DSM_NODE_COUNT"'
	check "lines have the node's number" lines_are "[1] node 0 of 3" "[2] node 1 of 3" "[3] node 2 of 3"
	local base
	base=$(free_ports 1)
	# shellcheck disable=SC2016
	check "%p is the port" run_gives 0 -n 1 --base-port "$base" -- \
		sh -c 'echo "$1 $2 $DSM_PORT"' sh a%pb %%p
	check "and %%p is %p" lines_are "[1] a${base}b %p $base"
	check "stderr stays stderr" run_gives 0 -n 1 -- sh -c 'echo to-out; echo to-err >&2; printf rest'
	check "stdout has its lines" lines_are "[1] to-out" "[1] rest"
	check "stderr has its line" test "$err" = "[1] to-err"
	check "the first program has our standard input" test \
		"$(echo words | "$dsm" run --pager uffd -n 2 -- cat)" = "[1] words"
	# shellcheck disable=SC2016
	check "node ids are the numbers" run_gives 0 -n 2 -- \
		sh -c '"$1" status --json | python3 -c "import json, sys; print(json.load(sys.stdin)[\"node\"])"' \
		sh "$dsm"
	check "1 is 1 and 2 is 2" lines_are "[1] 1" "[2] 2"
	check "programs share memory" run_gives 0 -n 2 -- sh -c \
		'{ echo barrier 1; echo lock_add 5 200000002000 100; echo barrier 1; echo read 200000002000; echo quit; } | "$1" %p' \
		sh "$puppet"
	check "and both see all of it" test "$(grep -c 'ok 200$' <<<"$out")" = 2
	# shellcheck disable=SC2016
	check "the first status that is not 0 counts" run_gives 7 -n 2 --grace 1 -- \
		sh -c '[ $DSM_NODE_INDEX = 1 ] && exit 7; exit 0'
	# shellcheck disable=SC2016
	check "a signal is 128 and its number" run_gives 137 -n 1 -- sh -c 'kill -9 $$'
	check "a port in use is named" bash -c "
		python3 -c 'import socket, subprocess, sys
s = socket.socket(); s.bind((\"0.0.0.0\", 0)); s.listen()
port = s.getsockname()[1]
r = subprocess.run([\"$dsm\", \"run\", \"-n\", \"1\", \"--base-port\", str(port), \"--\", \"true\"],
                   capture_output=True, text=True)
print(r)
sys.exit(not (r.returncode == 125 and \"port %d is in use\" % port in r.stderr))'"
	check "an agent that does not start is 125" env DSM_DSMD=/bin/false bash -c "
		'$dsm' run -n 1 -- true 2>'$dir/err'; [ \$? = 125 ] && grep -q 'did not start' '$dir/err'"
	check "a missing agent is 125" env DSM_DSMD=/no/dsmd bash -c "
		'$dsm' run -n 1 -- true 2>'$dir/err'; [ \$? = 125 ] && grep -q '/no/dsmd' '$dir/err'"
	check "bad chunks are the agent's to refuse" run_gives 125 -n 1 --chunks many -- true
	check "and it says so" grep -q 'many' "$dir/err"
	if [[ $(id -u) == 0 ]]; then
		check "--netns gives each node a network" run_gives 0 -n 3 --netns -- \
			sh -c 'ip -4 -o addr show dev eth0 | grep -o "10[.0-9]*/24"; "$1" node list' sh "$dsm"
		check "with an address each" test "$(grep -c '10.99.0.[123]/24$' <<<"$out")" = 3
		check "and they see each other there" test "$(grep -c ' active  *10.99.0.2:' <<<"$out")" = 3
		check "memory is shared across" run_gives 0 -n 2 --netns -- sh -c \
			'{ echo lock_add 5 200000002000 100; echo barrier 1; echo read 200000002000; echo quit; } | "$1" %p' \
			sh "$puppet"
		check "by both" test "$(grep -c 'ok 200$' <<<"$out")" = 2
	fi
	check "the README's programs are C" bash -c "
		awk -v to='$dir/program' '/^\`\`\`c\$/ { n++; on = 1; next } /^\`\`\`\$/ { on = 0 } on { print >(to n \".c\") }' README.md &&
		for n in 1 2; do
			cc -Wall -Wextra -Werror -Ilib/include -o '$dir/program'\$n '$dir/program'\$n.c ${SANITIZE-} \
				'$B/libdsm.a' -pthread || exit 1
		done"
	check "and runs" run_gives 0 -n 3 -- "$dir/program1" %p 1024
	check "as it says" lines_are "[1] node 1 of 3: 3" "[2] node 2 of 3: 3" "[3] node 3 of 3: 3"
	check "the second one needs no agent" "$dir/program2" "shm:cli-$$"
	check "and the map has what it set" test "$("$dsm" map list "shm:cli-$$/prices")" = "tea 2.40"
	check "on two nodes it is the same map" run_gives 0 -n 2 -- "$dir/program2" dsm:example
	"$dsm" segment unlink "shm:cli-$$"
	check "nothing is left behind" until_true 5 nothing_left
}

# Starts dsm run in the background and waits until its programs say "up" on N nodes.
run_start() {
	local n=$1
	shift
	: >"$dir/run"
	# A shell has its children in the background ignore SIGINT.
	env --default-signal=INT "$dsm" run --pager uffd --chunks 1024 -n "$n" "$@" >"$dir/run" 2>"$dir/run.err" </dev/null &
	runner=$!
	pids+=("$runner")
	until_true 20 bash -c "[ \$(grep -c up '$dir/run') = $n ]" || { cat "$dir/run" "$dir/run.err"; false; }
}

run_ended() {
	wait "$runner"
	status=$?
	cat "$dir/run" "$dir/run.err"
	echo "status $status"
}

programs_are_ended() {
	local began
	check "programs that wait are started" run_start 2 -- \
		sh -c 'trap "echo got-int; exit 3" INT; echo up; while :; do sleep 0.05; done'
	kill -INT "$runner"
	run_ended >"$dir/log"
	check "SIGINT reaches both" test "$(grep -c got-int "$dir/run")" = 2
	check "the status is theirs" test "$status" = 3
	check "programs that do not listen are started" run_start 2 -- \
		sh -c 'trap "echo noted" INT TERM; echo up; while :; do sleep 0.05; done'
	began=$SECONDS
	kill -INT "$runner"
	until_true 5 bash -c "[ \$(grep -c noted '$dir/run') = 2 ]"
	kill -INT "$runner"
	run_ended >"$dir/log"
	check "a second signal kills them" test "$status" = 137
	check "at once" test $((SECONDS - began)) -lt 5
	check "a program that would go on is started" run_start 2 -- sh -c 'sleep 617 & echo up; wait'
	kill -KILL "$runner"
	run_ended >"$dir/log"
	check "kill -9 leaves no process and no directory" until_true 10 nothing_left
	check "nor what the programs had started" until_true 5 bash -c "! pgrep -f '^sleep 617'"
	began=$SECONDS
	check "--timeout ends the programs" run_gives 124 -n 1 --timeout 0.3 -- sleep 617
	# shellcheck disable=SC2016
	check "one failure ends the others" run_gives 9 -n 2 --grace 0.3 -- \
		sh -c '[ $DSM_NODE_INDEX = 0 ] && exit 9; sleep 617'
	check "both soon" test $((SECONDS - began)) -lt 10
	check "a program whose agent dies is told" run_start 2 --grace 0.3 -- sh -c 'echo up; sleep 617'
	pkill -KILL -o -f "cluster run-$runner-"
	run_ended >"$dir/log"
	check "that is 125" test "$status" = 125
	check "and is said" grep -q "its agent was ended by signal 9" "$dir/run.err"
	check "nothing is left behind in the end" until_true 10 nothing_left
}
