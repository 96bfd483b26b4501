#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One memory over two virtual machines that share nothing but a cable: the module, an
# agent in each that finds the other by broadcast, heat over one mapping of /dev/dsm, and a map that both use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/vm/kernel.sh
. tests/vm/kernel.sh
# shellcheck source=tests/vm/guest.sh
. tests/vm/guest.sh

series=6.1
heat=--method,sor,--size,512,--sweeps,200,--nodes,2,--progress,--verify
build=build/release
work=$(mktemp -d)
jobs=()
cleanup() {
	[ ${#jobs[@]} = 0 ] || kill "${jobs[@]}" 2>/dev/null || :
	wait
	rm -rf "$work"
}
trap cleanup EXIT

echo "setting up: kernel $series, module, guests"
module=$(tests/vm/build-module.sh $series 2>"$work/module.log") || { cat "$work/module.log"; exit 1; }
vm_initramfs "$work/initramfs" $series "virtio_pci virtio_net" scripts/demo-guest.sh=/main \
	scripts/demo-map.sh=/demo-map.sh "$module=/dsm.ko" $build/dsmd=/bin/dsmd $build/dsm=/bin/dsm $build/heat=/bin/heat
accel=$(vm_accel)
start=$SECONDS
echo "booting two machines (QEMU $accel) with Linux $(cat "$VM_DIR/$series/release")"
echo "heat ${heat//,/ }"

for side in 0 1; do
	: >"$work/log$side"
	# The words of vm_lan are options.
	# shellcheck disable=SC2046
	VM_CPUS=1 VM_MEMORY=384M VM_APPEND="dsm.side=$side dsm.heat=$heat" \
		vm_boot $series "$work/initramfs" "$work/log$side" 170 $(vm_lan $side "$work/lan") &
	jobs+=($!)
	tail -n +1 -s 0.2 --pid=$! -f "$work/log$side" 2>/dev/null |
		stdbuf -oL grep -v '^@stats\|^vm-exit\|^\[ ' | sed -u "s/^/[$((side + 1))] /" &
	# The second one's cable is plugged into the first one's.
	[ $side = 1 ] || until [ -S "$work/lan" ]; do sleep 0.05; done
done
good=yes
for job in "${jobs[@]}"; do wait "$job" || good=no; done
jobs=()
for side in 0 1; do
	sed -n 's/^@stats //p' "$work/log$side" >"$work/stats$side"
	[ -s "$work/stats$side" ] || good=no
done
wait
if [ $good = yes ]; then
	scripts/node_table.py "$work/stats0" "$work/stats1"
	# Both went through the module.
	for side in 0 1; do grep -q '"pager": *"kmod"' "$work/stats$side" || good=no; done
fi
echo "$([ $good = yes ] && echo "equal bit for bit" || echo FAILED), $((SECONDS - start)) s from switching on"
[ $good = yes ]
