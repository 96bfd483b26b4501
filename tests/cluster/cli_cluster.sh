# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: structures in segments of the cluster of agents_answer(), seen from its second node.

# Puts go on, as no agent keeps a value that no program has open.
channel_crosses() {
	local got=
	DSM_PORT=$two "$dsm" channel tail "$1" --count 1 --timeout 20000 >"$dir/crossed" &
	pids+=($!)
	until_true 15 channel_crossed "$1" && wait "$!" && got=$(<"$dir/crossed") && [[ $got == across ]]
}
channel_crossed() {
	DSM_PORT=$one "$dsm" channel put "$1" across && [[ -s $dir/crossed ]]
}

structures_are_the_clusters() {
	local -x DSM_PORT=$two
	heap_is_shown dsm:cli-heap
	check "the heap is the other node's too" table "best fit" -p "$one" heap stat dsm:cli-heap
	segment_goes dsm:cli-heap
	maps_work dsm:cli-maps
	map_is_served dsm:cli-served
	segment_goes dsm:cli-served
	check "a channel is made" says "" channel put dsm:cli-channel/c one
	check "its values come to the other node" channel_crosses dsm:cli-channel/c
	check "and the channel is listed there" table "c        4096" -p "$one" channel list dsm:cli-channel
	segment_goes dsm:cli-channel
}
