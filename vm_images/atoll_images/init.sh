#!/bin/busybox sh
# First process of the guest. It reaches the root and hands over to Python; each command below costs a process, about
# ten milliseconds under emulation, so mounts are grouped into two tables and loops use what the shell has built in.

b=/bin/busybox
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 PYTHONPATH=/run/atoll/agent HOME=/root

fail() {
    echo "atoll-init: $1" >/dev/console
    $b sync
    $b poweroff -f
    exit 1
}

$b mount -a -T /boot/early.fstab || fail "cannot mount /sys and /dev"

# Processors that the kernel was told to leave alone while it boots (see qemu/argv.py) start beside what follows.
start_processors() {
    for switch in /sys/devices/system/cpu/cpu[0-9]*/online; do
        read -r state <"$switch"
        [ "$state" = 1 ] || echo 1 >"$switch"
    done
}
read -r offline </sys/devices/system/cpu/offline
if [ -n "$offline" ]; then
    start_processors &
fi

while read -r module; do
    $b insmod "/boot/$module" || fail "cannot load kernel module $module"
done </boot/modules

# The usual place first; the serial number decides, since disks may be found in any order.
find_root() {
    for disk in /sys/block/vda /sys/block/vd*; do
        serial=
        read -r serial 2>/dev/null <"$disk/serial"
        if [ "$serial" = atoll-root ]; then
            root=/dev/${disk##*/}
            return 0
        fi
    done
    return 1
}

turns=0
until find_root; do
    turns=$((turns + 1))
    [ "$turns" -lt 100 ] || fail "no disk with serial number atoll-root"
    $b usleep 50000
done

$b mount -t erofs -o ro "$root" /root || fail "cannot mount $root: damaged image?"
$b mount -a -T /boot/late.fstab || fail "cannot mount the file systems of the root"

main="-m atoll_agent"
if [ -e /atoll/compile.py ]; then
    # Compiling must not be swayed by what varies: the order of sets follows the hash seed.
    export PYTHONHASHSEED=0
    main=/run/atoll/compile.py
fi
if [ -d /atoll ]; then
    $b mv /atoll /root/run/atoll || fail "cannot move the agent into place"
fi

exec $b switch_root /root /usr/bin/python3.13 -S -B $main
fail "cannot start the agent"
