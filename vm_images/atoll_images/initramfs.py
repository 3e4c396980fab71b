"""The initramfs: busybox, the modules that reach the root, and the script that does it."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from .cpio import CpioEntry, file_entry, write_cpio
from .kernel_modules import Module

_EARLY = """\
sysfs /sys sysfs nosuid,nodev,noexec 0 0
devtmpfs /dev devtmpfs nosuid 0 0
"""
_LATE = """\
proc /root/proc proc nosuid,nodev,noexec 0 0
sysfs /root/sys sysfs nosuid,nodev,noexec 0 0
devtmpfs /root/dev devtmpfs nosuid 0 0
tmpfs /root/run tmpfs nosuid,nodev,mode=755 0 0
"""


def build_initramfs(busybox: bytes, modules: Iterable[Module]) -> bytes:
    """Format the archive; modules are loaded in the order given."""
    listed = list(modules)
    entries = [
        file_entry("init", Path(__file__).with_name("init.sh").read_bytes().replace(b"\r\n", b"\n"), 0o755),
        file_entry("bin/busybox", busybox, 0o755),
        file_entry("boot/early.fstab", _EARLY.encode()),
        file_entry("boot/late.fstab", _LATE.encode()),
        file_entry("boot/modules", "".join(f"{module.file}\n" for module in listed).encode()),
        *(file_entry(f"boot/{module.file}", module.data) for module in listed),
        *(CpioEntry(name, stat.S_IFDIR | 0o755) for name in ("dev", "proc", "root", "sys")),
    ]
    return write_cpio(entries)
