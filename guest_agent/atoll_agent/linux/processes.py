"""Making processes and moving between namespaces: clone3(2), setns(2), unshare(2), prctl(2), close_range(2)."""

from __future__ import annotations

import contextlib
import ctypes
import os

from .syscalls import CLONE3, CLOSE_RANGE, check, libc, syscall

CLONE_NEWTIME = 0x80
CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

SIGCHLD = 17
CLOSE_RANGE_CLOEXEC = 4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4


class _CloneArguments(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


def clone(flags: int, *, cgroup: int = -1) -> int:
    """Fork into new namespaces, and into a cgroup (a directory descriptor) from the first instruction on.

    Only for a process with a single thread: libc's and Python's own fork handlers do not run, so a lock that another
    thread held would stay locked in the child for ever. The child must end in exec or `os._exit`.

    Returns:
        0 in the child, its pid in the parent.
    """
    arguments = _CloneArguments(flags=flags, exit_signal=0 if flags & CLONE_PARENT else SIGCHLD)
    if cgroup >= 0:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    return syscall(CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))


def setns(descriptor: int, flags: int) -> None:
    """Enter namespaces: of a namespace descriptor, or (Linux 5.8) several at once of a pidfd."""
    check(libc.setns(descriptor, flags))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    check(libc.unshare(flags))


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """prctl(2) with integer arguments."""
    long = ctypes.c_ulong
    return check(libc.prctl(option, long(argument), long(argument3), long(0), long(0)))


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor that is not among these."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(int(name))


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on close-on-exec."""
    syscall(CLOSE_RANGE, first, 0x7FFFFFFF, CLOSE_RANGE_CLOEXEC)


def open_pidfd(pid: int) -> int:
    """A descriptor that names the process for as long as it is open (pidfd_open(2))."""
    return os.pidfd_open(pid)
