# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: segments and heaps, without any agent.

# damaged URI: a byte of the largest free place's header is changed, so that it cannot be read.
damaged() {
	local at
	at=$("$dsm" heap dump "$1" --json | python3 -c '
import json, sys
places = json.load(sys.stdin)["runs"][0]["places"]
print(int(max((p for p in places if p["kind"] == "free"), key=lambda p: p["size"])["offset"], 16) - 5)')
	printf '\377' | dd of="/dev/shm/dsm.${1#shm:}" bs=1 seek="$at" conv=notrunc status=none
}

# <shm_heap.h>, as an example uses it.
letters_arrive() {
	local strategy
	for strategy in first best worst classes; do
		check "letters arrive, $strategy" grep -qx "2000 letters, 2001000 bytes" \
			<("$B/letters" "letters-$$-$strategy" 2000 $strategy)
	done
}

# heap_is_shown URI: what heap_sample has made.
heap_is_shown() {
	local uri=$1 svg=$dir/heap.svg
	check "a heap is made" "$B/heap_sample" "$uri"
	check "its segment is listed" table "$uri " segment list
	check "and in JSON" json "any(s['uri'] == '$uri' and s['roots'] for s in d['segments'])" segment list
	check "the segment is shown" table "heap" segment show "$uri"
	check "and in JSON" json "d['named'][0]['kind'] == 'heap' and d['size'] > 0" segment show "$uri"
	check "the heap is described" table "best fit" heap stat "$uri"
	check "and in JSON" json "d['strategy'] == 'best fit' and d['used'] == 50 and
		sum(b['used'] for b in d['histogram']) == 50" heap stat "$uri"
	check "its blocks are listed" table " used " heap dump "$uri"
	check "and in JSON" json "sum(p['kind'] == 'used' for r in d['runs'] for p in r['places']) == 50
		and d['log'] == []" heap dump "$uri"
	check "it is whole" table "no damage" heap validate "$uri"
	check "and in JSON" json "d['damages'] == 0 and d['faults'] == []" heap validate "$uri"
	check "it is drawn" table "# used" heap map "$uri"
	check "and in JSON" json "sum(c['used'] for c in d['cells']) > 0" heap map "$uri" --columns 32
	check "and as an image" "$dsm" heap map "$uri" --svg "$svg"
	check "which is one" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$svg"
	check "columns are checked" gives 2 "--columns 3" heap map "$uri" --columns 3
	check "a file that cannot be written is named" gives 1 "/no/such" heap map "$uri" --svg /no/such/file
}

segment_goes() {
	check "the segment is unlinked" "$dsm" segment unlink "$1"
	check "once" gives 4 "$1" segment unlink "$1"
}

heaps_are_shown() {
	local uri=shm:cli-$$
	letters_arrive
	check "a segment that is not there is not found" gives 4 "$uri" segment show "$uri"
	check "its heap is not found" gives 4 "$uri" heap stat "$uri"
	check "what is no segment is wrong usage" gives 2 "'x' is no segment" heap dump x
	check "a segment of the cluster needs an agent" gives 3 "no agent" -p 9 segment show dsm:x
	heap_is_shown "$uri"
	damaged "$uri"
	ask heap validate "$uri"
	check "damage has a status of its own" [ "$code" = 5 ]
	check "and is named" grep -q 'header: overwritten' <<<"$out"
	segment_goes "$uri"
}
