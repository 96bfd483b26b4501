# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: maps in a segment, of this host without an agent, or of the cluster.

# says EXPECTED WORD...: dsm ends well and prints exactly that.
says() {
	local expected=$1
	shift
	[[ $("$dsm" "$@") == "$expected" ]]
}

change_seen() {
	"$dsm" map set "$1" w:key value && "$dsm" map del "$1" w:key && [[ -s $dir/watch ]]
}

# A watcher prints what is done after it began; when that is, only its first line tells.
watch_tells() {
	"$dsm" map watch "$1" w: --count 1 --timeout 20000 >"$dir/watch" &
	pids+=($!)
	until_true 15 change_seen "$1" && cat "$dir/watch" &&
		grep -qE '^(added w:key value|deleted w:key)$' "$dir/watch"
}

# maps_work SEGMENT, which is not there yet.
maps_work() {
	local uri=$1/m file=$dir/map.json

	check "map get of no segment is not found" gives 4 "no such" map get "$uri" a
	check "a map's segment has a kind" gives 2 "is no segment" map get nothing a
	check "map set makes segment and map" says "" map set "$uri" a one
	check "map get prints the value" says one map get "$uri" a
	check "map get as JSON" json "d['value'] == 'one' and d['version'] == 1" map get "$uri" a
	check "an absent key is not found" gives 4 "no key 'b'" map get "$uri" b
	check "map set --add of what is there fails" gives 1 "'a' is there" map set "$uri" a x --add
	check "map cas by value" says "" map cas "$uri" a one two
	check "map cas by another value fails" gives 1 "is another" map cas "$uri" a one three
	check "map cas by version" says "" map cas "$uri" a three --version 2
	check "map cas by another version fails" gives 1 "in version 3" map cas "$uri" a x --version 2
	check "map cas of what is absent" gives 4 "no key" map cas "$uri" b x y
	check "map cas wants its words" gives 2 "a word is missing" map cas "$uri" b x
	check "map set --ttl is checked" gives 2 "--ttl soon" map set "$uri" b x --ttl soon
	check "map set with an end" says "" map set "$uri" b "two words" --ttl 600000
	check "map list" says "a three" map list "$uri" a
	check "map list as JSON" json "{e['value'] for e in d['entries']} == {'three', 'two words'} and d['uri'] == '$uri'" map list "$uri"
	check "map stat" table "entries    2, 1 with an end" map stat "$uri"
	check "map stat as JSON" json "d['entries'] == 2 and d['buckets'] == 512" map stat "$uri"
	check "map save" says "2 entries saved" map save "$uri" "$file"
	check "map load" says "2 entries loaded" map load "$uri-copy" "$file"
	check "what was loaded is what was saved" says "two words" map get "$uri-copy" b
	printf '{"key":{"base64":"AAH/"},"value":"x"}\n' >"$file"
	check "map load of bytes" says "1 entries loaded" map load "$uri" "$file"
	check "bytes are shown escaped" table '\x00\x01\xff x' map list "$uri"
	check "bytes are base64 in JSON" json "{'base64': 'AAH/'} in [e['key'] for e in d['entries']]" map list "$uri"
	echo nonsense >"$file"
	check "map load names the bad line" gives 1 "line 1 is no entry" map load "$uri" "$file"
	check "map watch tells of changes" watch_tells "$uri"
	check "map watch --timeout ends it" gives 1 "nothing changed for 10 ms" map watch "$uri" --timeout 10
	check "map watch --present tells what is there" \
		table "added a three" map watch "$uri" a --present --count 1
	check "map del" says "" map del "$uri" a
	check "map del of what is absent" gives 4 "no key 'a'" map del "$uri" a
	check "the example's pairs arrive" pairs_arrive "${uri%/m}"
	check "the segment goes" says "" segment unlink "${uri%/m}"
}

# pairs_arrive URI: what the example writes the other one prints, and a killed writer is followed by the next.
pairs_arrive() {
	local consumer producer
	"$B/consumer" "$1" 8 20 >"$dir/pairs" &
	consumer=$!
	"$B/producer" "$1" 3 0 5 &
	producer=$!
	pids+=("$consumer" "$producer")
	wait "$consumer" || return 1
	kill -KILL "$producer"
	{ wait "$producer"; } 2>/dev/null
	"$B/producer" "$1" 3 1 1 | grep -q '^3 pairs, version' &&
		[[ $(grep -cE '^item[0-2] (is|became) [0-9]+\.[0-9]{2} \(version [0-9]+\)$' "$dir/pairs") == 8 ]]
}

# A killed server leaves its name: who asks is told, and the next one takes it over.
server_is_followed() {
	kill -KILL "$2"
	{ wait "$2"; } 2>/dev/null
	until_true 15 gives 1 "nobody serves" map get "$1" a && serves "$1"
}

# serves URI: a server in the background, which is ready; its process is $server.
serves() {
	"$dsm" map serve "$1" --buckets 1000 >"$dir/served" &
	server=$!
	pids+=("$server")
	until_true 15 grep -qx "serving $1" "$dir/served"
}

# It ends in peace and says what it did.
server_ends() {
	kill -TERM "$2" && wait "$2" && grep -q '^'"$1"': [0-9]* clients, .* requests in' "$dir/served"
}

# map_is_served SEGMENT: as maps_work, but by a server.
map_is_served() {
	local uri=$1 server

	check "a map is served" serves "$uri"
	check "its segment has a listener" json "[r['kind'] for r in d['named']] == ['listener']" segment show "$uri"
	check "a key that the server has not is not found" gives 4 "no key 'a'" map get "$uri" a
	check "the server sets" says "" map set "$uri" a one
	check "and gets" says one map get "$uri" a
	check "and gets as JSON" json "d['value'] == 'one' and d['version'] == 1" map get "$uri" a
	check "and adds only what is absent" gives 1 "'a' is there, in version 1" map set "$uri" a x --add
	check "and compares values" says "" map cas "$uri" a one two
	check "and other values" gives 1 "is another, in version 2" map cas "$uri" a one three
	check "and versions" says "" map cas "$uri" a three --version 2
	check "and other versions" gives 1 "in version 3" map cas "$uri" a x --version 2
	check "and deletes" says "" map del "$uri" a
	check "what is absent, too" gives 4 "no key 'a'" map del "$uri" a
	check "a message too long for its rings is refused" gives 1 "a request has" \
		map set "$uri" a "$(printf 'x%.0s' {1..9000})"
	check "what it does not answer is said" gives 1 "'map' is no map but a listener" map list "$uri"
	check "another server is refused" gives 1 "is served already" map serve "$uri"
	check "a killed server is followed by another" server_is_followed "$uri" "$server"
	check "which begins with nothing" gives 4 "no key" map get "$uri" a
	check "the server ends" server_ends "$uri" "$server"
}
