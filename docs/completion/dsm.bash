# SPDX-License-Identifier: MIT
# bash completion for dsm(1); names of regions and nodes' ports come from the
# agents that run.

# The directory of the agents' sockets, as dsm itself finds it.
_dsm_rundir() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --run-dir && ${COMP_WORDS[i + 1]} != = ]]; then
			printf '%s' "${COMP_WORDS[i + 1]}"
			return
		fi
	done
	if [[ -n ${DSM_RUNDIR-} ]]; then
		printf '%s' "$DSM_RUNDIR"
	elif ((EUID == 0)); then
		printf /run/dsm
	elif [[ -n ${XDG_RUNTIME_DIR-} ]]; then
		printf '%s/dsm' "$XDG_RUNTIME_DIR"
	else
		printf '/tmp/dsm-%s' "$EUID"
	fi
}

# The options before the cursor that choose an agent, to ask that same one.
_dsm_agent_options() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-p | --port | --run-dir)
			printf '%s\n%s\n' "${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}"
			;;
		esac
	done
}

_dsm_regions() {
	local options
	mapfile -t options < <(_dsm_agent_options)
	timeout 1 "${COMP_WORDS[0]}" "${options[@]}" region list 2>/dev/null |
		awk 'NR > 1 { print $2 }'
}

_dsm_segments() {
	timeout 1 "${COMP_WORDS[0]}" segment list 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_dsm_ports() {
	local dir socket
	dir=$(_dsm_rundir)
	for socket in "$dir"/dsmd-*.sock; do
		socket=${socket##*/dsmd-}
		[[ $socket == '*.sock' ]] || printf '%s\n' "${socket%.sock}"
	done
}

_dsm_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

# The words of the command line that are no options: noun, verb, and so on.
_dsm_plain_words() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-p | --port | --run-dir | -i | --interval | -n | --nodes | --pager | --chunks | \
			--base-port | --timeout | --grace | --log-level | \
			--ttl | --version | --count | --from | --size) ((i++)) ;;
		-*) ;;
		*) printf '%s\n' "${COMP_WORDS[i]}" ;;
		esac
	done
}

_dsm_run() {
	local i
	# Behind -- it is the program's own business.
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			if ((i == COMP_CWORD - 1)); then
				mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
			else
				mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
			fi
			return
		fi
	done
	_dsm_words '-n --nodes --pager --chunks --base-port --netns --timeout --grace --log-level --help --'
}

_dsm() {
	local words noun
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-p | --port) _dsm_words "$(_dsm_ports)" && return ;;
	--pager) _dsm_words 'auto kmod uffd' && return ;;
	--from) _dsm_words 'master slave' && return ;;
	--log-level) _dsm_words 'debug info warn error' && return ;;
	--run-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "${COMP_WORDS[COMP_CWORD]}")
		return
		;;
	-n | --nodes | -i | --interval | --chunks | --base-port | --timeout | --grace) return ;;
	esac
	mapfile -t words < <(_dsm_plain_words)
	noun=${words[0]-}
	if [[ $noun == run ]]; then
		_dsm_run
		return
	fi
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_dsm_words "--json --port --run-dir --help$([[ $noun == top ]] && echo ' --interval')"
		return
	fi
	case "${words[*]-}" in
	'') _dsm_words 'status node region page lock barrier topic stats top events run map channel segment heap' ;;
	node) _dsm_words 'list leave' ;;
	region) _dsm_words 'list create show delete' ;;
	page) _dsm_words 'list show' ;;
	lock | barrier | topic) _dsm_words list ;;
	'region show' | 'region delete' | 'page list') _dsm_words "$(_dsm_regions)" ;;
	map) _dsm_words 'get set del cas list watch stat save load serve' ;;
	channel) _dsm_words 'list stat cat tail put bench' ;;
	segment) _dsm_words 'list show unlink' ;;
	heap) _dsm_words 'stat dump validate map' ;;
	'segment show' | 'segment unlink' | 'heap stat' | 'heap dump' | 'heap validate' | 'heap map' | \
		'channel list' | 'channel stat' | 'channel cat' | 'channel tail' | 'channel put' | 'channel bench')
		_dsm_words "$(_dsm_segments)"
		;;
	'page show')
		compopt -o nospace 2>/dev/null
		_dsm_words "$(_dsm_regions | sed 's/$/:0x/')"
		;;
	esac
}

complete -F _dsm dsm
