# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: an agent that answers what no agent should.

# with_fake MODE CODE TEXT ARGS...
with_fake() {
	local mode=$1 port pid result
	shift
	port=$(free_ports 1)
	FAKE=$mode "$here/fake_agent.py" --run-dir "$dir" --port "$port" 2>/dev/null &
	pid=$!
	pids+=("$pid")
	until_true 5 test -S "$dir/dsmd-$port.sock"
	gives "$1" "$2" -p "$port" "${@:3}"
	result=$?
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	rm -f "$dir/dsmd-$port.sock"
	return $result
}

strange_agents_are_survived() {
	local command
	check "documents come in pieces" with_fake good 0 "" status
	check "an agent that is silent is 3" with_fake silent 3 "does not answer" status
	check "an agent that goes away is 3" with_fake closing 3 "went away" status
	check "another version is named" with_fake refusing 1 "speaks another version" status
	for command in status "node list" "region list" "region show a" "lock list" "barrier list" \
		stats "page show 0x1000"; do
		# shellcheck disable=SC2086 # words
		{
			check "$command: garbage is refused" with_fake garbage 1 "makes no sense" $command
			check "$command: a wrong length is refused" with_fake lying 1 "makes no sense" $command
			check "$command: what is no JSON is refused" with_fake notjson 1 "makes no sense" $command
		}
	done
	for command in status "node list" "region list" "region show a" "lock list" "barrier list" "topic list" stats; do
		# shellcheck disable=SC2086 # words
		check "$command: an empty document is shown" with_fake empty 0 "" $command
	done
	check "events: a line that is no JSON is refused" with_fake notjson 1 "no JSON" events
}
