"""Pausing: cgroup.freeze (kernel `cgroup-v2.rst`, "Core Interface Files"). In every cgroup v2, without a controller."""

from __future__ import annotations

import errno
import os
import select
import time
from pathlib import Path

DEADLINE_S = 10.0


def set_frozen(directory: Path, frozen: bool) -> None:
    """Freeze all processes of a cgroup, or let them go on; returns when it is so.

    Raises:
        OSError: there is no such cgroup, or ETIME when a process does not come to rest.
    """
    (directory / "cgroup.freeze").write_text("1" if frozen else "0")
    wanted = f"frozen {int(frozen)}"
    descriptor = os.open(directory / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLPRI)
        deadline = time.monotonic() + DEADLINE_S
        # The kernel signals each change of the file; reading it anew arms the next one.
        while wanted not in os.pread(descriptor, 4096, 0).decode().splitlines():
            if time.monotonic() > deadline:
                raise OSError(errno.ETIME, "a process does not come to rest", str(directory))
            poll.poll(100)
    finally:
        os.close(descriptor)
