"""io.weight and io.max (kernel `cgroup-v2.rst`, "IO Interface Files")."""

from __future__ import annotations

import os
import stat
from typing import Any

from ..api.errors import invalid

CONTROLLER = "io"
_THROTTLES = (
    ("BlkioDeviceReadBps", "rbps"),
    ("BlkioDeviceWriteBps", "wbps"),
    ("BlkioDeviceReadIOps", "riops"),
    ("BlkioDeviceWriteIOps", "wiops"),
)


def plan(host_config: dict[str, Any]) -> list[list[str]]:
    """Writes for Docker's BlkioWeight (10..1000) and per-device throttles (bytes or operations a second).

    Raises:
        AgentError: out of range, or a path that is no block device.
    """
    writes = []
    weight = host_config.get("BlkioWeight") or 0
    if weight:
        if not 10 <= weight <= 1000:
            raise invalid("Range of blkio weight is from 10 to 1000")
        writes.append(["io.weight", f"default {_weight(weight)}"])
    for item in host_config.get("BlkioWeightDevice") or []:
        share = item.get("Weight")
        if not isinstance(share, int) or not 10 <= share <= 1000:
            raise invalid("Range of blkio weight is from 10 to 1000")
        writes.append(["io.weight", f"{_device_number(str(item.get('Path') or ''))} {_weight(share)}"])
    for key, name in _THROTTLES:
        for item in host_config.get(key) or []:
            rate = item.get("Rate")
            if not isinstance(rate, int) or rate < 1:
                raise invalid(f"invalid rate for {key}: {str(rate)[:40]}")
            writes.append(["io.max", f"{_device_number(str(item.get('Path') or ''))} {name}={rate}"])
    return writes


def _weight(share: int) -> int:
    """10..1000 of v1 onto 1..10000 of v2."""
    return 1 + (share - 10) * 9999 // 990


def _device_number(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        raise invalid(f"cannot limit device {path}: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise invalid(f"cannot limit device {path}: not a block device")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
