#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The dsm command against real agents (userfaultfd pager, loopback): every
# subcommand as table and as JSON, its exit codes and messages, dsm run and all
# the ways it can end, and the completion.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
# A network of its own, so that ports are free when they were found free.
if [[ $(id -u) == 0 && -z ${CLI_OWN_NETWORK-} ]]; then
	CLI_OWN_NETWORK=1 exec unshare -n "$BASH" tests/cluster/cli.sh "$@"
fi
[[ -n ${CLI_OWN_NETWORK-} ]] && ip link set lo up
B=$PWD/${BUILD:-build/release}
dsm=$B/dsm puppet=$B/puppet
here=$PWD/tests/cluster
dir=$(mktemp -d /tmp/dsm-cli-XXXXXX)
export DSM_RUNDIR=$dir LC_ALL=C
unset DSM_PORT DSM_CLUSTER DSM_JOIN DSM_PAGER
[[ $B == *asan* ]] && SANITIZE=-fsanitize=address,undefined
passed=0 failed=0
pids=()

finish() {
	local pid
	# The shell's own words on what was killed are not for the log.
	{
		for pid in "${pids[@]}"; do
			kill -KILL "$pid"
		done
		wait
	} 2>/dev/null
	pids=()
	rm -rf "$dir"
}
trap finish EXIT

# check SENTENCE COMMAND...: one test.
check() {
	local sentence=$1
	shift
	if "$@" >"$dir/check.log" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "not ok: $sentence"
		sed 's/^/    /' "$dir/check.log"
		tail -n 5 "$dir"/dsmd-*.log 2>/dev/null | sed 's/^/    /'
	fi
}

# until_true SECONDS COMMAND...: polls.
until_true() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS >= deadline)) && return 1
		sleep 0.05
	done
}

# ask ARGS...: runs dsm; out, err and code are what came of it.
ask() {
	"$dsm" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	code=$?
	out=$(<"$dir/out") err=$(<"$dir/err")
}

# gives CODE TEXT ARGS...: the exit code, and TEXT in stderr where not empty.
gives() {
	local want=$1 text=$2
	shift 2
	ask "$@"
	echo "dsm $*: status $code, stdout: $out, stderr: $err"
	[[ $code == "$want" && $err == *"$text"* ]] && [[ $want == 0 || -n $err ]]
}

# json EXPRESSION ARGS...: the document is d.
json() {
	local expression=$1
	shift
	ask "$@" --json
	echo "dsm $* --json: status $code, $out $err; wanted: $expression"
	[[ $code == 0 ]] && python3 -c '
import json, sys
d = json.loads(sys.argv[2])
sys.exit(not eval("(" + sys.argv[1] + ")"))' "$expression" "$out"
}

# table TEXT ARGS...: succeeds, and TEXT is in it.
table() {
	local text=$1
	shift
	ask "$@"
	echo "dsm $*: status $code, stdout: $out, stderr: $err; wanted: $text"
	[[ $code == 0 && $out == *"$text"* ]]
}

agent() {
	"$B/dsmd" --config /dev/null --run-dir "$dir" --port "$1" --cluster "cli-$$" --no-discovery \
		--pager uffd --chunks 4096 --log-level warn "${@:2}" >"$dir/dsmd-$1.log" 2>&1 &
	pids+=($!)
}

members() {
	[[ $("$dsm" -p "$1" status --json 2>/dev/null |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["members"])' 2>/dev/null) == "$2" ]]
}

# Ports below those that the kernel gives to connections.
free_ports() {
	python3 -c '
import random, socket, sys
held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("0.0.0.0", random.randrange(12000, 30000)))
        held.append(s)
    except OSError:
        pass
ports = [s.getsockname()[1] for s in held]
for s in held:
    s.close() # before anybody hears of them
print(*ports)' "$1"
}

# shellcheck source=tests/cluster/cli_agent.sh
source "$here/cli_agent.sh"
# shellcheck source=tests/cluster/cli_run.sh
source "$here/cli_run.sh"
# shellcheck source=tests/cluster/cli_strange.sh
source "$here/cli_strange.sh"
# shellcheck source=tests/cluster/cli_heap.sh
source "$here/cli_heap.sh"
# shellcheck source=tests/cluster/cli_map.sh
source "$here/cli_map.sh"
# shellcheck source=tests/cluster/cli_channel.sh
source "$here/cli_channel.sh"
# shellcheck source=tests/cluster/cli_cluster.sh
source "$here/cli_cluster.sh"
# shellcheck source=tests/cluster/cli_words.sh
source "$here/cli_words.sh"

words_are_checked
documents_are_complete
heaps_are_shown
maps_work "shm:cli-test-$$"
map_is_served "shm:cli-served-$$"
segment_goes "shm:cli-served-$$"
channels_work
nobody_answers
strange_agents_are_survived
agents_answer
structures_are_the_clusters
completion_completes
agents_go
programs_run
programs_are_ended

finish
echo "$passed passed, $failed failed"
((failed == 0))
