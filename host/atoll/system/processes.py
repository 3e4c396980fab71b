"""Processes on each operating system: starting one that outlives us, telling whether one is the same, ending one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


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
    """What tells a process from a later one with the same pid; "" when there is no such process."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in ("Z", "X") else fields[19]
    if not _exists(pid):
        return ""
    if sys.platform == "win32":
        return str(pid)
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            return False
        code = ctypes.c_ulong()
        ctypes.windll.kernel32.GetExitCodeProcess(handle, ctypes.byref(code))
        ctypes.windll.kernel32.CloseHandle(handle)
        return code.value == 259  # STILL_ACTIVE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_alive(pid: int, mark: str) -> bool:
    """Whether the process with this pid is the one that had this mark."""
    return bool(pid) and bool(mark) and start_mark(pid) == mark


def end(pid: int, *, force: bool = False) -> None:
    """Ask a process to end, or end it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
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
