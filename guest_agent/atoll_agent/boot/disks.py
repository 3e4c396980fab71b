"""The machine's data disk: found by its serial number, formatted when it is blank, mounted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..linux import mounts

EXT4_MAGIC_AT, EXT4_MAGIC = 0x438, b"\x53\xef"


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


def format_disk(device: Path) -> None:
    """Make an ext4 file system; its tables are initialised by the kernel in the background."""
    command = [
        "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "atoll-data",
        "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-J", "size=16", str(device),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(0, f"mke2fs failed: {done.stderr.strip()[-300:]}", str(device))


def mount_data(device: Path, target: str) -> None:
    """Format if blank, then mount."""
    if not is_formatted(device):
        format_disk(device)
    mounts.mount(str(device), target, "ext4", 0x400, "")  # MS_NOATIME


def release(target: str) -> None:
    """Write everything back and unmount; a busy file system is made read-only instead."""
    os.sync()
    try:
        mounts.unmount(target)
    except OSError:
        MS_REMOUNT, MS_RDONLY = 32, 1
        mounts.mount("", target, "", MS_REMOUNT | MS_RDONLY)
