"""The machine's data disk: found by its serial number, formatted when it is blank, mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..linux import mounts

EXT4_MAGIC_AT, EXT4_MAGIC = 0x438, b"\x53\xef"
RESERVE_MIB = 16
"""What containers cannot use of the disk: on a full one the engine can still write down what became of them."""

NOBODY_AT_ALL = 0xFFFF_FFFE
"""The user the reserve belongs to. Root would be every container's root, too; so only CAP_SYS_RESOURCE opens it."""


def find_disk(serial: str, sys_block: Path = Path("/sys/block")) -> Path | None:
    """The device node of the virtio disk with a serial number; None where there is none."""
    for disk in sorted(sys_block.glob("vd*")):
        try:
            if (disk / "serial").read_text().strip() == serial:
                return Path("/dev") / disk.name
        except OSError:
            continue
    return None


def is_formatted(device: Path) -> bool:
    """Whether the device holds an ext4 file system; anything else but zeroes is not ours to format.

    Raises:
        ValueError: it holds something unknown.
    """
    with device.open("rb") as disk:
        head = disk.read(4096)
    if head[EXT4_MAGIC_AT : EXT4_MAGIC_AT + 2] == EXT4_MAGIC:
        return True
    if any(head):
        raise ValueError(f"{device} holds something that is not a file system of Atoll; it is left alone")
    return False


def size_mib(device: Path) -> int:
    """How large a disk (or a file) is."""
    with device.open("rb") as disk:
        return disk.seek(0, os.SEEK_END) >> 20


def format_disk(device: Path) -> None:
    """Make an ext4 file system; its tables are initialised by the kernel in the background."""
    percent = 100 * RESERVE_MIB / max(1024, size_mib(device))
    command = [
        "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", f"{percent:.6f}", "-L", "atoll-data",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-J", "size=16", str(device),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(0, f"mke2fs failed: {done.stderr.strip()[-300:]}", str(device))


def mount_data(device: Path, target: str) -> None:
    """Format if blank, then mount."""
    if not is_formatted(device):
        format_disk(device)
    mounts.mount(str(device), target, "ext4", 0x400, f"resuid={NOBODY_AT_ALL}")  # MS_NOATIME


def release(target: str) -> None:
    """Write everything back and unmount; a busy file system is made read-only instead."""
    os.sync()
    try:
        mounts.unmount(target)
    except OSError:
        MS_REMOUNT, MS_RDONLY = 32, 1
        mounts.mount("", target, "", MS_REMOUNT | MS_RDONLY)
