"""Which accelerators a computer could have. Whether they work is found out by trying (`machine.proof`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def platform_name(platform: str = sys.platform) -> str:
    """`linux`, `darwin` or `windows`."""
    return {"win32": "windows", "darwin": "darwin"}.get(platform, "linux")


def list_candidates(guest: str, host: str, platform: str = sys.platform) -> list[tuple[str, str]]:
    """(accelerator, why not) in the order in which they should be tried; an empty reason means: try it.

    Arguments:
        guest: the guest's architecture.
        host: this computer's.
    """
    native = {"linux": "kvm", "darwin": "hvf", "windows": "whpx"}[platform_name(platform)]
    if guest != host:
        return [(native, f"the machine is {guest}, this computer {host}"), ("tcg", "")]
    return [(native, _obstacle(native)), ("tcg", "")]


def _obstacle(name: str) -> str:
    if name != "kvm":
        return ""
    device = Path("/dev/kvm")
    if not device.exists():
        return "there is no /dev/kvm"
    if not os.access(device, os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened by this user (join the group kvm)"
    return ""
