"""Capability sets: capset(2) and the bounding and ambient sets of prctl(2). Masks have bit N for capability N."""

from __future__ import annotations

import ctypes
from pathlib import Path

from .processes import PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAPBSET_DROP, PR_CAPBSET_READ, prctl
from .syscalls import check, libc

VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def last_capability() -> int:
    """The highest capability this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def read_bounding(last: int) -> int:
    """This process's bounding set, up to capability `last`: what it and its children may ever have."""
    return sum(1 << number for number in range(last + 1) if prctl(PR_CAPBSET_READ, number))


def drop_bounding(keep: int, last: int) -> None:
    """Remove every capability that is not in `keep` from the bounding set."""
    for number in range(last + 1):
        if not keep >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


def set_sets(permitted: int, effective: int) -> None:
    """Set permitted and effective; inheritable becomes empty (CVE-2022-24769) and so does ambient."""
    header = _Header(VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    data = (_Data * 2)(_Data(effective & low, permitted & low, 0), _Data(effective >> high, permitted >> high, 0))
    check(libc.capset(ctypes.byref(header), ctypes.byref(data)))
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
