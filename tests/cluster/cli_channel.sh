# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: channels in a segment of this host, without an agent.

channel_put_seen() {
	"$dsm" channel put "$1" "$2" && [[ -s $dir/tail ]]
}

# What is put after it began comes to a reader; when that is, only its first line tells.
tail_tells() {
	: >"$dir/tail"
	"$dsm" channel tail "$1" --count 1 --timeout 20000 >"$dir/tail" &
	pids+=($!)
	until_true 15 channel_put_seen "$1" "two words" && wait "$!" &&
		[[ $(<"$dir/tail") == "two words" ]]
}

# What was piped in comes out, zero bytes and all.
bytes_stay() {
	head -c 4096 /dev/urandom >"$dir/bytes"
	"$dsm" channel put "$1" - <"$dir/bytes" && "$dsm" channel cat "$1" | cmp - "$dir/bytes"
}

# Both ends of the channel of a benchmark are in one process, which is then killed.
seats_are_shown() {
	local bench segment=$1 channel=$1/dsm-channel-bench
	"$dsm" channel bench "$segment" --interval 600000 >/dev/null 2>&1 &
	bench=$!
	pids+=("$bench")
	until_true 15 table "process $bench" channel list "$segment" &&
		json "d['master']['state'] == 'live' and d['master']['pid'] == d['slave']['pid'] == $bench" \
			channel stat "$channel" --interval 300 &&
		json "d['from_master']['rate'] > 1000 and d['master']['beats'] > 0" channel stat "$channel" &&
		gives 1 "process $bench" channel put "$channel" x &&
		gives 1 "is there already" channel bench "$segment" || return 1
	kill -KILL "$bench"
	{ wait "$bench"; } 2>/dev/null
	until_true 15 gives 0 "" channel put "$channel" after &&
		says after channel cat "$channel"
}

channel_words_are_checked() {
	check "a channel's segment has a kind" gives 2 "is no segment" channel cat nothing
	check "channel cat wants a word" gives 2 "a word is missing" channel cat
	check "channel cat wants one word" gives 2 "'b' is one word too many" channel cat shm:a b
	check "channel --from is checked" gives 2 "--from both" channel cat shm:a --from both
	check "channel --count is checked" gives 2 "--count 0" channel tail shm:a --count 0
	check "channel --timeout is checked" gives 2 "--timeout soon" channel tail shm:a --timeout soon
	check "channel --interval is checked" gives 2 "--interval 0" channel stat shm:a --interval 0
	check "channel --size is checked" gives 2 "--size 2M" channel put shm:a x --size 2M
}

channels_work() {
	local segment=shm:cli-channel-$$
	local uri=$segment/c

	channel_words_are_checked
	check "channel cat of no segment is not found" gives 4 "no such segment" channel cat "$uri"
	check "channel put as slave makes nothing" gives 4 "no such segment" channel put "$uri" x --from slave
	check "channel put makes segment and channel" says "" channel put "$uri" one
	check "channel cat prints the value" says one channel cat "$uri"
	check "channel cat as JSON" json "d == {'number': 1, 'value': 'one'}" channel cat "$uri"
	check "the other direction has none" gives 1 "nothing was written yet" channel cat "$uri" --from slave
	check "channel put as slave" json "d == {'uri': '$uri', 'written': 4}" channel put "$uri" back --from slave
	check "each direction has its own value" says back channel cat "$uri" --from slave
	check "an absent channel is not found" gives 4 "no 'd'" channel cat "$segment/d"
	check "a channel is called channel" says "" channel put "$segment" unnamed --size 64
	check "and found so" says unnamed channel cat "$segment/channel"
	check "a value is not too long" gives 1 "more than its 64" channel put "$segment" "$(printf 'x%.0s' {1..65})"
	check "bytes stay what they are" bytes_stay "$uri"
	check "bytes are base64 in JSON" json "'base64' in d['value']" channel cat "$uri"
	check "channel list" table "c        4096  -       -                 2            1" channel list "$segment"
	check "channel list as JSON" json "{c['name']: c['size'] for c in d['channels']} == {'c': 4096, 'channel': 64}" \
		channel list "$segment"
	check "channel stat" table "from master  2 written" channel stat "$uri" --interval 1
	check "channel stat as JSON" json "d['from_slave']['written'] == 1 and d['master']['seated'] == 2 \
		and d['master']['state'] == 'absent'" channel stat "$uri" --interval 1
	check "channel tail tells of values" tail_tells "$uri"
	check "channel tail --timeout ends it" gives 1 "no new value for 10 ms" channel tail "$uri" --timeout 10
	check "channel tail --present tells what is there" \
		json "d['value'] == 'two words' and d['missed'] == 0" channel tail "$uri" --present --count 1
	check "channel bench measures" json "[f['size'] for f in d['figures']] == [64, 64, 4096, 4096] \
		and all(f['rate'] > 1000 for f in d['figures'])" channel bench --interval 20
	check "a bench leaves nothing in a segment" table "BYTES" channel bench "$segment" --interval 20
	check "its channel has gone" json "len(d['channels']) == 2" channel list "$segment"
	check "who sits there is shown, and not in the way when killed" seats_are_shown "$segment"
	check "the channels' segment goes" says "" segment unlink "$segment"
	check "and no other is left" bash -c "! ls /dev/shm | grep -q 'cli-channel-$$'"
}
