# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Part of cli.sh: the words of the command line, and the completion.

# The commands, one a line.
commands() { "$dsm" --help | sed -nE 's/^  dsm ([a-z]+( [a-z]+)?)  .*/\1/p'; }

words_are_checked() {
	local noun
	check "no command is wrong usage" gives 2 "a command is missing"
	check "an unknown command is named" gives 2 "no such command 'statu'" statu
	check "a noun alone is wrong usage" gives 2 "region: a word is missing" region
	check "an unknown verb is named" gives 2 "no such command 'lost'" node lost
	check "a word too many is named" gives 2 "'now' is one word too many" status now
	check "a missing word is wrong usage" gives 2 "a word is missing" region show
	check "port 0 is refused" gives 2 "--port 0: a number from 1 to 65535" --port 0 status
	check "a port with a letter is refused" gives 2 "--port 99x" status --port 99x
	check "a size with a strange unit is refused" gives 2 "size '4q'" region create grid 4q
	check "size 0 is refused" gives 2 "size '0'" region create grid 0
	check "a size beyond 64 bits is refused" gives 2 "size" region create grid 99999999T
	check "a long name is refused" gives 2 "has 1 to 31 characters" region show "$(printf 'x%.0s' {1..32})"
	check "an empty name is refused" gives 2 "has 1 to 31 characters" region delete ""
	check "an unknown option is named" gives 2 "--frob" status --frob
	check "an interval of 0 is refused" gives 2 "--interval 0" top --interval 0
	check "DSM_PORT is checked" env DSM_PORT=no bash -c "
		'$dsm' status 2>'$dir/err'; [ \$? = 2 ] && grep -q 'DSM_PORT=no' '$dir/err'"
	check "the version is told" table "dsm " --version
	check "the list of commands is in --help" table "dsm region create" --help
	commands >"$dir/commands"
	check "--help lists the commands" [ "$(wc -l <"$dir/commands")" -gt 30 ]
	while read -r noun; do
		# shellcheck disable=SC2086 # two words
		check "$noun has --help" table "Usage: dsm $noun" $noun --help
	done <"$dir/commands"
	check "run wants a number of nodes" gives 2 "-n N is missing" run -- true
	check "run wants a program" gives 2 "PROGRAM is missing" run -n 2
	check "run -n 0 is refused" gives 2 "-n 0" run -n 0 -- true
	check "run -n 65 is refused" gives 2 "-n 65" run -n 65 -- true
	check "run --pager is checked" gives 2 "--pager disk" run -n 1 --pager disk -- true
	check "run --timeout is checked" gives 2 "--timeout -1" run -n 1 --timeout=-1 -- true
	check "run: ports must fit" gives 2 "above 65535" run -n 2 --base-port 65535 -- true
	check "run: a missing program is 127" gives 127 "not found" run -n 1 -- no-such-program-here
	check "run: a file that is no program is 126" gives 126 "cannot be executed" run -n 1 -- /etc/passwd
}

# names_all PAGE REGEX FILE: what REGEX finds in FILE is in PAGE.
names_all() {
	python3 - "$@" <<-'END'
		import re, sys
		page, regex, source = sys.argv[1:]
		names = set(re.findall(regex, open(source).read(), re.M))
		missing = sorted(n for n in names if n not in open(page).read())
		print("not in", page, ":", missing, "of", len(names))
		sys.exit(bool(missing) or len(names) < 20)
	END
}

# Each command but run, which has none.
commands_have_json() {
	local command
	sed -n '/^\.Sh JSON/,/^\.Sh EXAMPLES/s/^\.It Cm //p' docs/man/dsm.1 | sed 's/ , /\n/g' >"$dir/documented"
	while read -r command; do
		[[ $command == run ]] || grep -qx "$command" "$dir/documented" ||
			{ echo "not there: $command"; return 1; }
	done < <(commands)
}

# What documents show is C that compiles, with the variables that they take for granted.
fragments_compile() {
	{
		cat <<-'END'
			#include <dsm_channel.h>
			#include <dsm_heap.h>
			#include <dsm_map.h>
			#include <dsm_map_server.h>
			#include <dsm_ring.h>
			#include <string.h>
			dsm_segment_t *seg;
			dsm_heap_t *heap;
			dsm_map_t *map;
			dsm_map_client_t *client;
			dsm_ring_t *ring;
			dsm_listener_t *listener;
			dsm_conn_t *conn;
			dsm_channel_t *ch;
			struct dsm_ring_message message;
			uint64_t version, number;
			char buffer[64];
			ssize_t n;
			int event;
		END
		awk '/^```c$/ { print "void fragment" ++n "(void);\nvoid fragment" n "(void)\n{"; on = 1; next }
			/^```$/ && on { print "}"; on = 0 } on' docs/*.md
	} >"$dir/fragments.c"
	grep -c '^void fragment' "$dir/fragments.c"
	cc -std=gnu11 -Wall -Wextra -Werror -Ilib/include -fsyntax-only "$dir/fragments.c" &&
		[ "$(grep -c '^void fragment.*;' "$dir/fragments.c")" -ge 7 ]
}

documents_are_complete() {
	local header
	check "docs/protocol.md names every message" names_all docs/protocol.md \
		'^\tMSG_(?!NONE|TYPES)([A-Z_]+)' agent/core/msg.h
	check "README names every call of the simple API" names_all README.md \
		'^[a-z][^(]*[ *](dsm_[a-z_]+)\(' lib/include/dsm/dsm.h
	for header in dsm context; do
		check "libdsm(3) names every call of dsm/$header.h" names_all docs/man/libdsm.3 \
			'^[a-z][^(]*[ *](dsm_[a-z_]+)\(' "lib/include/dsm/$header.h"
	done
	check "dsm(1) tells every command's JSON" commands_have_json
	check "the documents' C compiles" fragments_compile
	check "documents point at what exists" python3 - <<-'END'
		import os, re, sys
		bad = []
		for page in ["README.md"] + ["docs/" + n for n in os.listdir("docs") if n.endswith(".md")]:
		    text = open(page).read()
		    for link in re.findall(r"\]\(([^)#:]+)\)", text):
		        if not os.path.exists(os.path.join(os.path.dirname(page), link)):
		            bad.append((page, link))
		    for name in re.findall(r"`((?:docs|agent|lib|kmod|uapi|tests|scripts)/[a-z0-9_./-]+)`", text):
		        if not os.path.exists(name):
		            bad.append((page, name))
		print(bad)
		sys.exit(bool(bad))
	END
}

# completes WANTED WORD...: the last word is what the cursor is at.
completes() {
	local wanted=$1
	shift
	COMP_WORDS=("$dsm" "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_dsm
	echo "${COMP_WORDS[*]}: ${COMPREPLY[*]}; wanted: $wanted"
	[[ " ${COMPREPLY[*]} " == *" $wanted "* ]]
}

completion_completes() {
	# shellcheck source=docs/completion/dsm.bash
	source docs/completion/dsm.bash
	check "commands are completed" completes region reg
	check "verbs are completed" completes show region s
	check "names of regions are completed" completes mesh -p "$one" region show m
	check "regions of page show are completed" completes mesh:0x -p "$one" page show m
	check "ports are completed" completes "$two" --port ""
	check "options are completed" completes --json status --j
	check "pagers are completed" completes uffd run --pager u
	check "verbs of channels are completed" completes tail channel ta
	check "seats are completed" completes slave channel cat shm:x --from sl
	check "programs are completed" completes bash run -n 2 -- bas
}
