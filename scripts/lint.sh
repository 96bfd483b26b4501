#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that can be said about the sources without running them.
#
#   scripts/lint.sh [CHECK...]
#   checks: spdx words sizes headers shell python man format tidy checkpatch sparse
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
logs=build/lint
mkdir -p "$logs"
jobs=$(nproc)

sources() { git ls-files --cached --others --exclude-standard -- "$@"; }
userland() { sources 'agent/*.c' 'agent/*.h' 'lib/*.c' 'lib/*.h' 'tests/*.c' 'tests/*.h' | grep -v '^tests/selftests/'; }
flags=(-std=gnu11 -D_GNU_SOURCE '-DDSM_VERSION="lint"' -I. -Iuapi -Ilib/include)
read -ra libraries < <(pkg-config --cflags libnl-genl-3.0 libuv jansson cmocka python3)
flags+=("${libraries[@]}" -Wall -Wextra)

# Licences: the module is GPL, its interface GPL with the syscall note, the rest MIT.
lint_spdx() {
	local file wanted bad=0
	while read -r file; do
		case $file in
		uapi/*) wanted="GPL-2.0 WITH Linux-syscall-note" ;;
		kmod/* | Kbuild) wanted="GPL-2.0-only" ;;
		*) wanted="MIT" ;;
		esac
		head -n 3 "$file" | grep -qF "SPDX-License-Identifier: $wanted" && continue
		case $wanted$file in *.yaml) head -n 3 "$file" | grep -q SPDX && continue ;; esac
		echo "$file: no 'SPDX-License-Identifier: $wanted' in its first lines"
		bad=1
	done < <(sources '*.c' '*.h' '*.sh' '*.py' '*.mk' '*.yaml' Makefile Kbuild '*/Kbuild' .ci/run)
	return $bad
}

# Nothing unfinished.
lint_words() {
	! git grep -nE --untracked '\b(TODO|FIXME|XXX)\b|not implemented' -- '*.c' '*.h' '*.sh' '*.py' '*.mk' \
		':!scripts/lint.sh'
}

# A function fits a screen, a file a sitting.
lint_sizes() {
	sources '*.c' '*.h' '*.py' '*.sh' | xargs wc -l |
		awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines"; bad = 1 } END { exit bad }' || return 1
	sources '*.c' | xargs ctags --fields=+ne --kinds-c=f -f - | awk -F'\t' '
		{ s = e = 0
		  for (i = 4; i <= NF; i++) { if ($i ~ /^line:/) s = substr($i, 6); if ($i ~ /^end:/) e = substr($i, 5) }
		  if (e - s >= 70) { print $2 ": " $1 "() has " e - s + 1 " lines"; bad = 1 } }
		END { exit bad }'
}

# Each header stands alone; the public ones in C++ too.
lint_headers() {
	local header bad=0
	while read -r header; do
		cc "${flags[@]}" -Werror -fsyntax-only -x c -include "$header" /dev/null || bad=1
	done < <(sources 'agent/*.h' 'lib/*.h' 'uapi/*.h' 'tests/*.h' | grep -v '^tests/selftests/')
	while read -r header; do
		g++ -Iuapi -Ilib/include -Wall -Wextra -Werror -fsyntax-only -x c++ -include "$header" /dev/null || bad=1
	done < <(sources 'lib/include/*.h' 'uapi/*.h')
	return $bad
}

lint_shell() {
	local files
	mapfile -t files < <(sources '*.sh' .ci/run 'tests/vm/*' '*.bash' |
		while read -r f; do head -n 1 "$f" | grep -qE '^#!.*\b(ba)?sh\b' && echo "$f"; done)
	shellcheck -x -e SC1091 "${files[@]}"
}

lint_python() {
	sources '*.py' | xargs python3 -c 'import ast, sys
for name in sys.argv[1:]:
    ast.parse(open(name, encoding="utf-8").read(), name)'
}

lint_man() { sources 'docs/man/*' | xargs mandoc -Tlint -Wwarning; }

lint_format() { userland | xargs clang-format --dry-run -Werror; }

lint_tidy() {
	local bad=0
	userland | grep '\.c$' | grep -v floor_heat_mpi |
		xargs -P "$jobs" -I{} clang-tidy --quiet {} -- "${flags[@]}" >"$logs/tidy.raw" 2>/dev/null || bad=1
	grep -E '(warning|error):' "$logs/tidy.raw" | sort -u
	return $bad
}

# The kernel's own checker, from Debian's linux-source package. Headers for user space
# have neither BIT() nor static_assert().
lint_checkpatch() {
	local tree bad=0
	tree=$(tests/vm/kernel-source.sh) || return 1
	local check=("$tree/scripts/checkpatch.pl" --no-tree --strict --file --terse --no-summary
		--max-line-length=100)
	sources 'kmod/*.c' 'kmod/*.h' |
		xargs "${check[@]}" --ignore FILE_PATH_CHANGES,LINUX_VERSION_CODE || bad=1
	sources 'uapi/*.h' | xargs "${check[@]}" --ignore BIT_MACRO,CAMELCASE || bad=1
	rm -f .checkpatch-camelcase.*
	return $bad
}

lint_sparse() {
	tests/vm/build-module.sh 6.1 C=2 W=1 >"$logs/sparse.raw" 2>&1 || { cat "$logs/sparse.raw"; return 1; }
	! grep -E '(warning|error):' "$logs/sparse.raw"
}

checks=("$@")
[ $# -gt 0 ] || checks=(spdx words sizes headers shell python man format tidy checkpatch sparse)
passed=0 failed=0
for check in "${checks[@]}"; do
	if "lint_$check" >"$logs/$check.log" 2>&1; then
		passed=$((passed + 1))
		echo "ok     $check"
	else
		failed=$((failed + 1))
		echo "FAILED $check"
		head -n "${LOG_LINES:-60}" "$logs/$check.log"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
