"""What /proc says of processes."""

from __future__ import annotations

import os
import pwd
import time
from functools import lru_cache
from pathlib import Path


def describe_process(pid: int) -> list[str] | None:
    """A process as `ps -ef` shows it; None when it is gone."""
    try:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = (int(fields[11]) + int(fields[12])) // ticks
    started = time.time() - float(Path("/proc/uptime").read_text().split()[0]) + int(fields[19]) / ticks
    return [
        _user_name(int(status["Uid"].split()[0])),
        str(pid),
        status["PPid"],
        "0",
        time.strftime("%H:%M", time.localtime(started)),
        "?",
        f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        command or f"[{status['Name']}]",
    ]


@lru_cache(maxsize=1024)
def _user_name(uid: int) -> str:
    """What the machine calls a user, as its `ps` would; containers may call them otherwise."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def proportional_bytes(pid: int) -> int:
    """Pss of a process (proc(5), smaps_rollup)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
