"""Processes on each operating system: starting one that outlives us, telling whether one is the same, ending one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
STILL_ACTIVE = 259
"""Of Windows."""


def start_detached(command: list[str], log: Path, environment: dict[str, str] | None = None) -> int:
    """Start a process that survives this one and its terminal; its output goes to a file. Returns its pid."""
    with log.open("ab") as out:
        if sys.platform == "win32":
            flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, creationflags=flags, env=environment
            )
        else:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment
            )
    # It is nobody's to wait for here: its exit is seen by what it leaves behind.
    process.returncode = 0
    return process.pid


def start_mark(pid: int) -> str:
    """What tells a process from a later one with the same pid; "" when there is no such process, or it has ended."""
    if sys.platform == "linux":
        try:
            # Bytes: a process may be called anything, and the kernel cuts names in the middle of a character.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    if sys.platform == "win32":
        return _creation_time(pid)
    # The same words in every language and time zone. A child that nobody has waited for is listed still, as Z.
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    state, _, began = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


def _creation_time(pid: int) -> str:
    """When a process of Windows began, in units of 100 ns; "" when there is none, or it has ended."""
    import ctypes

    if sys.platform != "win32":
        return ""
    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
    if not handle:
        return ""
    try:
        code, times = ctypes.c_ulong(), [ctypes.c_ulonglong() for _ in range(4)]
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        known = kernel.GetProcessTimes(handle, *(ctypes.byref(moment) for moment in times))
    finally:
        kernel.CloseHandle(handle)
    return str(times[0].value) if known and code.value == STILL_ACTIVE else ""


def is_alive(pid: int, mark: str) -> bool:
    """Whether the process with this pid is the one that had this mark."""
    return bool(pid) and bool(mark) and start_mark(pid) == mark


def end(pid: int, *, force: bool = False) -> None:
    """Ask a process to end, or end it."""
    with contextlib.suppress(OSError):  # it has ended already, or is not ours; each system has its own words for that
        if force and sys.platform != "win32":
            os.kill(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)


def boot_id() -> str:
    """What changes with every boot of this computer; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        done = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""
