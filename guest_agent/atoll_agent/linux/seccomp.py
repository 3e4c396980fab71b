"""Installing a compiled seccomp filter: seccomp(2)."""

from __future__ import annotations

import ctypes

from .syscalls import SECCOMP, syscall

SET_MODE_FILTER = 1
INSTRUCTION_SIZE = 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(program: bytes) -> None:
    """Put this process, for good, under a filter (an array of `struct sock_filter`)."""
    filter_ = _Program(len(program) // INSTRUCTION_SIZE, program)
    syscall(SECCOMP, SET_MODE_FILTER, 0, ctypes.byref(filter_), what="seccomp filter")
