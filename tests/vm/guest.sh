# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Virtual machines to test in: an initramfs of busybox and the files given, booted
# by QEMU. To be sourced after kernel.sh; see README.md.

# vm_accel: "kvm" where a guest really boots with it, else "tcg". Asked once.
vm_accel() {
	local cache=$VM_DIR/accel
	if [ ! -e "$cache" ]; then
		echo tcg >"$cache"
		if [ -w /dev/kvm ]; then
			printf '#!/bin/sh\nexit 0\n' >"$VM_DIR/probe.sh"
			vm_initramfs "$VM_DIR/probe.cpio" 6.1 "" "$VM_DIR/probe.sh=/main"
			VM_ACCEL=kvm vm_boot 6.1 "$VM_DIR/probe.cpio" "$VM_DIR/probe.log" 15 && echo kvm >"$cache"
		fi
	fi
	cat "$cache"
}

# The first program of every guest: mounts, modules, /main, and how that ended.
vm_init_script() {
	cat <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root /bin /sbin /usr/bin /usr/sbin /etc
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs shm /dev/shm
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing 2>/dev/null
echo /tmp/core.%p >/proc/sys/kernel/core_pattern
while read -r module; do insmod "$module"; done </modules
ip link set lo up
/main
echo "vm-exit: $?"
poweroff -f
END
}

# Copies program or library $2 and the libraries that it needs into root $1 at $3.
vm_install() {
	local root=$1 from=$2 to=$3 library
	install -D "$from" "$root$to"
	{ ldd "$from" 2>/dev/null || :; } | sed -n 's,.*[ 	]\(/[^ ]*\) (0x.*,\1,p' | while read -r library; do
		[ -e "$root$library" ] || install -D "$library" "$root$library"
	done
}

# vm_initramfs OUT SERIES "MODULE..." FILE=/PLACE...: MODULEs are the kernel's own,
# loaded in this order before /main runs, which one of the files must be.
vm_initramfs() {
	local out=$1 series=$2 modules=$3 root release module spec path
	shift 3
	vm_kernel "$series"
	release=$(cat "$VM_DIR/$series/release")
	root=$(mktemp -d)
	vm_install "$root" "$(command -v busybox)" /bin/busybox
	vm_init_script >"$root/init"
	chmod +x "$root/init"
	: >"$root/modules"
	for module in $modules; do
		modprobe -d "$VM_DIR/$series/tree" -S "$release" --show-depends "$module" |
			sed -n 's/^insmod \([^ ]*\).*/\1/p' >>"$root/modules" || vm_die "no module $module"
	done
	# What two modules need is loaded once.
	awk '!seen[$0]++' "$root/modules" >"$root/modules.once"
	while read -r path; do
		install -D -m 644 "$path" "$root/lib/modules/$(basename "$path")"
		echo "/lib/modules/$(basename "$path")"
	done <"$root/modules.once" >"$root/modules"
	rm "$root/modules.once"
	for spec; do vm_install "$root" "${spec%%=*}" "${spec#*=}"; done
	(cd "$root" && find . -print0 | cpio --null -o -H newc --quiet) | gzip -1 >"$out.new" ||
		vm_die "cannot pack $out"
	mv "$out.new" "$out"
	rm -rf "$root"
}

# vm_boot SERIES INITRAMFS LOG SECONDS [QEMU OPTION...]: boots, writes the guest's
# console to LOG, and returns the exit status of its /main; 124: time-out, 125: no end seen.
# VM_ACCEL, VM_CPUS (2) and VM_MEMORY (512M) choose the machine; VM_APPEND adds kernel parameters.
vm_boot() {
	local series=$1 initramfs=$2 log=$3 seconds=$4 status accel=${VM_ACCEL:-} append=${VM_APPEND:-}
	shift 4
	# A kernel that checks every step takes half a minute to have ACPI say who has which interrupt.
	[ "$series" != debug ] || append="acpi=noirq $append"
	[ -n "$accel" ] || accel=$(vm_accel)
	# -cx16: the emulation of cmpxchg16b goes wrong now and then.
	# In this process group, so that who is told to stop takes the guest along.
	timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -accel "$accel" -cpu max,-cx16 \
		-smp "${VM_CPUS:-2}" -m "${VM_MEMORY:-512M}" -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot -kernel "$VM_DIR/$series/vmlinuz" \
		-initrd "$initramfs" -append "console=ttyS0 quiet panic=-1 $append" "$@" \
		</dev/null 2>&1 | sed -u 's/\r*$//; s/\r/\n/g' >"$log"
	status=${PIPESTATUS[0]}
	[ "$status" != 124 ] && [ "$status" != 137 ] || return 124
	status=$(sed -n 's/^vm-exit: \([0-9]*\)$/\1/p' "$log" | tail -n 1)
	return "${status:-125}"
}

# vm_lan SIDE SOCKET: QEMU options for one end (0 or 1) of a cable between two guests.
vm_lan() {
	local server=off
	[ "$1" = 1 ] || server=on
	echo "-netdev stream,id=lan,server=$server,addr.type=unix,addr.path=$2" \
		"-device virtio-net-pci,netdev=lan,mac=52:54:00:d5:00:0$1"
}
