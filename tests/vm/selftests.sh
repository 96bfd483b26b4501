#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The module's selftests in a virtual machine with a kernel of a series.
#
#   tests/vm/selftests.sh [SERIES [TEST...]]     TEST: fault, revoke, ...; SERIES "debug": see debug-kernel.sh
#
# MUTANT=NAME tests a module with a deliberate break in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/vm/kernel.sh
. tests/vm/kernel.sh
# shellcheck source=tests/vm/guest.sh
. tests/vm/guest.sh

series=${1:-6.1}
shift || :
work=build/selftests-$series${MUTANT:+-$MUTANT}
mkdir -p "$work"
if [ $# -gt 0 ]; then
	tests=("$@")
else
	tests=(fault revoke wait process agent netlink input memory pager unload)
fi

harness=$(tests/vm/kernel-source.sh)/tools/testing/selftests
module=$(tests/vm/build-module.sh "$series" 2>"$work/module.log") || {
	cat "$work/module.log"
	vm_die "dsm.ko does not build for $series"
}

# Each test is one program.
read -ra flags < <(pkg-config --cflags --libs libnl-genl-3.0)
files=("$module=/dsm.ko")
for test in "${tests[@]}"; do
	cc -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-unused-variable \
		-Wno-sign-compare -I. -Iuapi -I"$harness" -Itests/selftests -pthread -o "$work/$test" \
		"tests/selftests/test_$test.c" tests/selftests/fake_agent.c tests/selftests/program.c \
		agent/pager/kmod*.c "${flags[@]}"
	files+=("$work/$test=/tests/$test")
done

cat >"$work/main" <<END
#!/bin/sh
insmod /dsm.ko || exit 1
for test in ${tests[*]}; do
	echo "# test: \$test"
	/tests/\$test 2>&1 || echo "# failed: \$test \$?"
done
rmmod dsm || echo "not ok - the module cannot be unloaded after the tests"
echo "# kernel log"
dmesg | grep -E -A 40 'BUG|WARNING|Oops|Call Trace|blocked for more|refcount|dsm:' || :
# It checks nothing any more after its first complaint.
if grep -q 'debug_locks: *0' /proc/lockdep_stats 2>/dev/null; then echo "BUG: lockdep is off"; fi
END
chmod +x "$work/main"
# 6.1's loop of direct I/O needs a disk that is not a file of tmpfs.
vm_initramfs "$work/initramfs" "$series" "brd" "$work/main=/main" "${files[@]}"
# Now and then an emulated machine hangs before it gets to the first test: that is not ours.
patience=150
[ "$series" != debug ] || patience=600
for try in 1 2 3; do
	status=0
	VM_APPEND="brd.rd_nr=1 brd.rd_size=4096" vm_boot "$series" "$work/initramfs" "$work/log" \
		"$([ "$try" = 3 ] && echo "${SELFTESTS_SECONDS:-600}" || echo "$patience")" || status=$?
	grep -q '^# test:' "$work/log" && break
	echo "# the guest did not start (status $status), try $try"
done

# The harness prints "ok N name"; a skipped test is "ok N name # SKIP".
passed=$(grep -cE '^ok [0-9]' "$work/log" || :)
failed=$(grep -cE '^not ok' "$work/log" || :)
for test in "${tests[@]}"; do
	# A program that died says nothing about what it did not get to.
	grep -qE "^# failed: $test" "$work/log" && ! grep -qE '^not ok' "$work/log" &&
		failed=$((failed + 1))
	awk -v t="# test: $test" '$0 == t { on = 1 } on && /^# Totals:/ { found = 1 } /^# test: / && $0 != t { on = 0 }
		END { exit !found }' "$work/log" || { echo "not ok - $test did not end"; failed=$((failed + 1)); }
done
if grep -qE 'BUG[: ]|WARNING:|Oops|refcount_t|blocked for more' "$work/log"; then
	echo "not ok - the kernel complained"
	failed=$((failed + 1))
fi
[ "$status" = 0 ] || { echo "not ok - the guest ended with $status"; failed=$((failed + 1)); }
if [ "$failed" != 0 ] || [ -n "${VERBOSE:-}" ]; then
	cat "$work/log"
else
	grep -E '^(ok|# test:|# measured:)' "$work/log"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
