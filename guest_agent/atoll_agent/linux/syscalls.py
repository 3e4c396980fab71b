"""Calling the kernel through libc, and the table of system call numbers libc has no wrapper for.

Numbers from 424 on are the same on every architecture (see the kernel's `scripts/syscall.tbl`); the few older ones
differ and are looked up by machine.
"""

from __future__ import annotations

import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)

OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
CLONE3 = 435
CLOSE_RANGE = 436
OPENAT2 = 437
MOUNT_SETATTR = 442

MACHINE = platform.machine()
_BY_MACHINE = {
    "x86_64": {"pivot_root": 155, "bpf": 321, "seccomp": 317, "finit_module": 313},
    "aarch64": {"pivot_root": 41, "bpf": 280, "seccomp": 277, "finit_module": 273},
}
PIVOT_ROOT = _BY_MACHINE.get(MACHINE, {}).get("pivot_root", -1)
BPF = _BY_MACHINE.get(MACHINE, {}).get("bpf", -1)
SECCOMP = _BY_MACHINE.get(MACHINE, {}).get("seccomp", -1)
FINIT_MODULE = _BY_MACHINE.get(MACHINE, {}).get("finit_module", -1)

_syscall = libc.syscall
_syscall.restype = ctypes.c_long


def check(result: int, what: object = None) -> int:
    """Return a non-negative result; raise OSError from errno otherwise."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def syscall(number: int, *arguments: object, what: object = None) -> int:
    """Make a system call by number; integers are widened to the register size.

    Raises:
        OSError: the call failed; `filename` carries `what`.
    """
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(_syscall(ctypes.c_long(number), *wide), what)
