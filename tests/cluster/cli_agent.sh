# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: what a cluster of two agents answers.

nobody_answers() {
	local port
	port=$(free_ports 1)
	for command in status "node list" "node leave" "region list" "region show default" \
		"region create grid 1M" "region delete grid" "page list" "page show 0x1000" "lock list" \
		"barrier list" "topic list" stats events "top -i 0.1"; do
		# shellcheck disable=SC2086 # words
		check "$command without an agent is 3" gives 3 "no agent serves port $port" -p "$port" $command
	done
	check "the message names socket and cause" gives 3 \
		"no agent serves port $port ($dir/dsmd-$port.sock): No such file or directory" status -p "$port"
	check "DSM_PORT names the agent" env DSM_PORT="$port" bash -c "
		'$dsm' status 2>'$dir/err'; [ \$? = 3 ] && grep -q 'port $port' '$dir/err'"
	: >"$dir/dsmd-$port.sock"
	check "a file that is no socket is no agent" gives 3 "no agent serves port $port" status -p "$port"
	rm -f "$dir/dsmd-$port.sock"
}

# The two programs, pulled by strings; answers are "ok ..." lines.
programs_start() {
	mkfifo "$dir/to-first" "$dir/from-first" "$dir/to-second" "$dir/from-second"
	"$puppet" "$one" <"$dir/to-first" >"$dir/from-first" &
	pids+=($!)
	exec {to_first}>"$dir/to-first" {from_first}<"$dir/from-first"
	# The second must not hold the first one's strings.
	"$puppet" "$two" <"$dir/to-second" >"$dir/from-second" {to_first}>&- {from_first}<&- &
	pids+=($!)
	exec {to_second}>"$dir/to-second" {from_second}<"$dir/from-second"
	answer "$from_first" && answer "$from_second"
}

answer() {
	reply=
	IFS= read -r -t 20 -u "$1" reply
	echo "program: $reply"
	[[ $reply == ok* ]]
}

pull_first() {
	echo "$*" >&"$to_first"
	answer "$from_first"
}

pull_second() {
	echo "$*" >&"$to_second"
	answer "$from_second"
}

node_is_shown() {
	check "status tells node and pager" table "uffd pager" -p "$one" status
	check "status as JSON" json 'd["node"] == 1 and d["is_master"] and d["members"] == 2
		and d["state"] == "member" and d["pager"] == "uffd" and d["cluster"].startswith("cli-")
		and d["memory"]["chunks_total"] == 8192' -p "$one" status
	check "the other node is no master" json 'd["node"] == 2 and not d["is_master"] and d["master"] == 1' \
		status -p "$two"
	check "options may stand before the command" json 'd["node"] == 2' --port "$two" status
	check "node list marks itself" table "2*" -p "$two" node list
	check "node list as JSON" json 'd["node"] == 2 and [n["node"] for n in d["nodes"]] == [1, 2]
		and all(n["state"] == "active" and n["link"] and n["chunks"] == 4096 for n in d["nodes"])
		and [n["master"] for n in d["nodes"]] == [True, False]' -p "$two" node list
}

regions_are_made_and_deleted() {
	check "region create" table "'grid' of 1048576 bytes" -p "$one" region create grid 1M
	check "region create as JSON rounds up to pages" json \
		'd["name"] == "mesh" and d["size"] == 8192 and d["base"].startswith("0x")' \
		-p "$two" region create mesh 4097
	check "a region that is too large is refused" gives 1 "4096 bytes to 16 TiB" \
		-p "$one" region create vast 17T
	check "the same name again is refused" gives 1 "'grid' exists already" -p "$two" region create grid 1M
	check "the other node sees it" until_true 5 table grid -p "$two" region list
	check "region list as JSON" json '{"default", "grid", "mesh"} == {r["name"] for r in d["regions"]}
		and len({r["region"] for r in d["regions"]}) == 3' -p "$one" region list
	check "region show" table "1 MiB, mapped at 0x" -p "$one" region show grid
	check "region show as JSON" json 'd["size"] == 1048576 and d["pages_allocated"] == 0
		and d["extents"] == []' -p "$one" region show grid
	check "region show of none is 4" gives 4 "no region 'void'" -p "$one" region show void
	check "region delete" gives 0 "" -p "$two" region delete grid
	check "it is gone everywhere" until_true 5 gives 4 "no region 'grid'" -p "$one" region show grid
	check "region delete of none is 4" gives 4 "no region 'grid'" -p "$one" region delete grid
	check "the default region stays" gives 1 "default region" -p "$one" region delete default
}

pages_are_shown() {
	check "a program allocates" pull_first alloc_at 0x100000000 8192
	local pointer=${reply#ok }
	check "and writes" pull_first write "$pointer" 7
	check "page show" table "modified" -p "$one" page show 0x100000000
	check "page list" table "0x100000000      1  modified" -p "$one" page list default:0x100000000
	check "page list as JSON" json 'd["pages"][0]["address"] == "0x100000000" and d["next"] is None
		and d["pages"][0]["owner"] == 1' -p "$one" page list default:0x100000000
	check "page list of no region is 4" gives 4 "" -p "$one" page list void
	check "page list wants a region and an address" gives 2 "'default:xyz'" -p "$one" page list default:xyz
	check "page show as JSON" json 'd["state"] == "modified" and d["region_name"] == "default"
		and d["global_address"] == "0x100000000" and d["owner"] == 1 and not d["lost"]
		and d["key"] == "0x100000"' -p "$one" page show 0x100000abc
	check "a page by its pointer" json 'd["global_address"] == "0x100000000"' \
		-p "$one" page show "0x$pointer"
	check "a page by region and address" json 'd["address"] == "0x'"$pointer"'"' \
		-p "$one" page show default:0x100000000
	check "the other node asks the home" json 'd["state"] == "invalid" and d["owner"] == 1' \
		-p "$two" page show 0x100000000
	check "it is read there" pull_second read "$pointer"
	check "now both share it" json 'd["state"] == "shared" and d["sharers"] >= 1' \
		-p "$two" page show 0x100000000
	check "a page that nobody allocated is 4" gives 4 "nobody allocated" -p "$one" page show 0x200000000
	check "a word that is no address is 2" gives 2 "'xyz'" -p "$one" page show xyz
	check "an unknown region is 4" gives 4 "no region 'void'" -p "$one" page show void:0x0
	check "beyond the region is 4" gives 4 "ends at" -p "$one" page show mesh:0x100000
	check "beyond everything is 4" gives 4 "no region has" -p "$one" page show 0xffffffffffff0000
	check "stats count the fault" json 'd["faults"]["read"] >= 1 and d["pages"]["in"] >= 1
		and d["wire"]["bytes_in"] > 4096 and d["latency"]["read"]["n"] >= 1
		and 0 < d["latency"]["read"]["p50_us"] <= d["latency"]["read"]["p99_us"]' -p "$two" stats
	check "stats at the giver" json 'd["pages"]["out"] >= 1 and d["wire"]["bytes_out"] > 4096' \
		-p "$one" stats
	check "stats as a table" table "read faults" -p "$two" stats
	check "region show counts it" json 'd["pages_allocated"] >= 2 and d["pages_here"]["shared"] >= 1' \
		-p "$one" region show default
}

locks_and_barriers_are_shown() {
	check "a program locks" pull_first lock 42
	check "lock list shows the holder" json 'any(l["id"] == 42 and l["here"] and l["holder"] > 0
		and l["kind"] == "mutex" for l in d["locks"])' -p "$one" lock list
	check "lock list as a table" table "42" -p "$one" lock list
	check "it unlocks" pull_first unlock 42
	check "the lock is free" json 'any(l["id"] == 42 and l["holder"] == 0 for l in d["locks"])' \
		-p "$one" lock list
	echo barrier 1 >&"$to_first"
	check "barrier list shows who waits" until_true 5 json \
		'any(b["arrived"] == 1 and b["all_nodes"] for b in d["barriers"])' -p "$one" barrier list
	check "barrier list as a table" table "all nodes" -p "$one" barrier list
	check "the second comes" pull_second barrier 1
	check "the first goes on" answer "$from_first"
}

top_is_live() {
	check "top shows both agents" table "$two" top -i 0.1
	check "top as JSON" json 'len(d["agents"]) == 2 and d["interval_seconds"] == 0.1
		and all(a["status"]["members"] == 2 and "pages_in" in a["per_second"] for a in d["agents"])' \
		top -i 0.1
	check "top of one agent" json 'len(d["agents"]) == 1' top -i 0.1 -p "$one"
	check "top runs on a terminal until q" python3 - "$dsm" <<-'END'
		import os, pty, select, sys
		pid, fd = pty.fork()
		if pid == 0:
		    os.environ["TERM"] = "vt100"
		    os.execv(sys.argv[1], [sys.argv[1], "top", "-i", "0.2"])
		seen = b""
		while seen.count(b"PORT") < 2:
		    assert select.select([fd], [], [], 10)[0], seen
		    seen += os.read(fd, 4096)
		os.write(fd, b"q")
		try:
		    while select.select([fd], [], [], 10)[0]:
		        part = os.read(fd, 4096)
		        if not part:
		            break
		        seen += part
		except OSError:
		    pass
		status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
		print(seen, status)
		sys.exit(not (status == 0 and seen.endswith(b"\x1b[?1049l")))
	END
}

# Every key of every document is a word of the manual page.
keys_are_described() {
	local command
	for command in status "node list" "region list" "region show default" "lock list" \
		"barrier list" "topic list" stats "page list" "page show 0x100000000" "top -i 0.1"; do
		# shellcheck disable=SC2086 # words
		"$dsm" -p "$one" $command --json || return 1
	done >"$dir/documents"
	python3 - "$dir/documents" "$dir/events" docs/man/dsm.1 <<-'END'
		import json, re, sys
		def keys(d):
		    for k, v in d.items() if isinstance(d, dict) else enumerate(d) if isinstance(d, list) else ():
		        if isinstance(d, dict):
		            yield k
		        yield from keys(v)
		found, text, decoder = set(), open(sys.argv[1]).read() + open(sys.argv[2]).read(), json.JSONDecoder()
		while text.strip():
		    d, end = decoder.raw_decode(text.lstrip())
		    text = text.lstrip()[end:]
		    found |= set(keys(d))
		words = set(re.findall(r"[a-z_0-9]+", open(sys.argv[3]).read().split(".Sh JSON")[1]))
		missing = sorted(found - words)
		print("not in dsm(1):", missing, "of", len(found))
		sys.exit(bool(missing) or len(found) < 60)
	END
}

events_follow() {
	local pid status
	env --default-signal=INT "$dsm" -p "$two" events --json >"$dir/events" 2>&1 &
	pid=$!
	pids+=("$pid")
	check "events begin with the state" until_true 5 grep -q '"event": *"snapshot"' "$dir/events"
	check "a region is made" gives 0 "" -p "$one" region create news 4096
	check "events tell it" until_true 5 grep -q '"change": *"added".*"name": *"news"' "$dir/events"
	gives 0 "" -p "$one" region delete news >/dev/null
	check "events tell its end" until_true 5 grep -q '"change": *"removed".*"name": *"news"' "$dir/events"
	check "every line is JSON" python3 -c '
import json, sys
for line in open(sys.argv[1]): json.loads(line)["event"]' "$dir/events"
	check "every key is described in dsm(1)" keys_are_described
	kill -INT "$pid"
	wait "$pid"
	status=$?
	check "Ctrl-C ends events with 0" test "$status" = 0
	timeout -s INT 1 "$dsm" -p "$one" events >"$dir/events"
	check "events as text" grep -q "node 2 active" "$dir/events"
}

# Tells of values on the second node until it has $2 of them; when it began to hear, only they tell.
tail_on_second() {
	"$dsm" -p "$two" channel tail "$1" --count "$2" --timeout 20000 >"$dir/tail"
}

put_until_told() {
	local tail
	tail_on_second "$1" 3 &
	tail=$!
	pids+=("$tail")
	put_one() {
		"$dsm" -p "$one" channel put "$1" "one more" && ! kill -0 "$2" 2>/dev/null
	}
	until_true 15 put_one "$1" "$tail"
	wait "$tail" && [[ $(sort -u "$dir/tail") == "one more" ]]
}

# A writer at full speed on one node, its reader on the other, and more to do than processors.
nodes_stay_under_load() {
	local hog bench status hogs=()
	for hog in 1 2 3 4; do
		bash -c 'while :; do :; done' &
		hogs+=($!)
	done
	# It begins with writing, for as long as the reader may need to come.
	"$dsm" -p "$one" channel bench "$1" --interval 60000 >"$dir/bench" &
	bench=$!
	pids+=("${hogs[@]}" "$bench")
	until_true 15 table dsm-channel-bench -p "$two" channel list "$1" &&
		tail_on_second "$1/dsm-channel-bench" 50 &&
		kill -0 "$bench"
	status=$?
	{
		kill "${hogs[@]}" "$bench"
		wait "${hogs[@]}" "$bench"
	} 2>/dev/null
	[[ $status == 0 ]] && members "$one" 2 && members "$two" 2
}

channels_cross_nodes() {
	local segment=dsm:cli-channel
	check "channel put makes a cluster's channel" gives 0 "" -p "$one" channel put $segment/c first
	check "the other node lists it" table "c        4096" -p "$two" channel list $segment
	check "what is put at one node is told at the other" put_until_told $segment/c
	check "both nodes stay while one writes as fast as it can" nodes_stay_under_load $segment
	check "the cluster's segment goes" gives 0 "" -p "$two" segment unlink $segment
	check "and is gone at the other node" until_true 5 gives 4 "no such" -p "$one" channel list $segment
}

agents_answer() {
	read -r one two < <(free_ports 2)
	agent "$one" --standalone
	agent_one=${pids[-1]}
	check "the first agent answers" until_true 10 members "$one" 1
	agent "$two" --join "127.0.0.1:$one"
	agent_two=${pids[-1]}
	check "two agents form a cluster" until_true 10 members "$two" 2
	check "the first one knows" until_true 10 members "$one" 2
	node_is_shown
	regions_are_made_and_deleted
	check "programs start" programs_start
	pages_are_shown
	locks_and_barriers_are_shown
	top_is_live
	events_follow
	channels_cross_nodes
}

agents_go() {
	local pid status
	exec {to_first}>&- {to_second}>&-
	: >"$dir/events" # now, not when the one in the background gets to it
	"$dsm" -p "$two" events >"$dir/events" 2>"$dir/events.err" &
	pid=$!
	check "events are followed" until_true 10 test -s "$dir/events"
	check "node leave" json 'd["left"]' -p "$two" node leave
	check "its agent ends" until_true 10 bash -c "! kill -0 $agent_two 2>/dev/null"
	check "the other one knows" until_true 10 members "$one" 1
	check "then no agent serves the port" gives 3 "no agent serves port $two" -p "$two" status
	check "the message names who is there" gives 3 "$one" -p "$two" status
	wait "$pid"
	status=$?
	check "events end with 3 when the agent goes" test "$status" = 3
	check "and say so" bash -c "cat '$dir/events.err'; grep -q 'went away' '$dir/events.err'"
	kill -STOP "$agent_one"
	check "an agent that hangs is 3" gives 3 "does not answer" -p "$one" status
	kill -KILL "$agent_one"
}
