"""The device controller of cgroup v2: a BPF program attached to the cgroup (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).

cgroup v2 has no devices.allow; a program is asked on every open and mknod and answers 1 (allow) or 0 (deny). Its
context is `struct bpf_cgroup_dev_ctx {u32 access_type; u32 major; u32 minor;}` where access_type holds the device type
in the low and the wanted access in the high 16 bits.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass

from .syscalls import BPF, syscall

PROG_LOAD, PROG_ATTACH = 5, 8
PROG_TYPE_CGROUP_DEVICE = 15
ATTACH_CGROUP_DEVICE = 6
ALLOW_MULTI = 2

TYPES = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


@dataclass(frozen=True)
class DeviceRule:
    """One rule; the last that matches decides, and no match denies.

    Attributes:
        allow: what a match means.
        type: `b`, `c` or `a` (any).
        major: number, or None for any.
        minor: number, or None for any.
        access: letters of `rwm`.
    """

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | destination, offset, immediate)


_LOAD_WORD, _MOVE32, _AND32, _RSH32, _JNE, _EXIT = 0x61, 0xB4, 0x54, 0x74, 0x55, 0x95
_MOVE32_REGISTER = 0xBC


def build_program(rules: list[DeviceRule]) -> bytes:
    """Assemble the program: the rules from last to first, each falling through to the one before it."""
    # r2 = type, r3 = access, r4 = major, r5 = minor
    out = _instruction(_LOAD_WORD, 2, 1, 0) + _instruction(_MOVE32_REGISTER, 3, 2)
    out += _instruction(_AND32, 2, immediate=0xFFFF) + _instruction(_RSH32, 3, immediate=16)
    out += _instruction(_LOAD_WORD, 4, 1, 4) + _instruction(_LOAD_WORD, 5, 1, 8)
    for rule in reversed(rules):
        out += _build_rule(rule)
    return out + _instruction(_MOVE32, 0, immediate=0) + _instruction(_EXIT)


def _build_rule(rule: DeviceRule) -> bytes:
    tests: list[bytes] = []
    if rule.type != "a":
        tests.append(struct.pack("=BBhi", _JNE, 2, 0, TYPES[rule.type]))
    if set(rule.access) != set("rwm"):
        # A request matches when it wants nothing beyond the rule's letters: wanted & ~letters == 0.
        beyond = 7 & ~sum(ACCESS[letter] for letter in set(rule.access))
        tests.append(_instruction(_MOVE32_REGISTER, 1, 3) + _instruction(_AND32, 1, immediate=beyond))
        tests.append(struct.pack("=BBhi", _JNE, 1, 0, 0))
    if rule.major is not None:
        tests.append(struct.pack("=BBhi", _JNE, 4, 0, rule.major))
    if rule.minor is not None:
        tests.append(struct.pack("=BBhi", _JNE, 5, 0, rule.minor))
    tests.append(_instruction(_MOVE32, 0, immediate=int(rule.allow)) + _instruction(_EXIT))
    return _fix_jumps(b"".join(tests))


def _fix_jumps(block: bytes) -> bytes:
    """Point every conditional jump of a rule behind its end."""
    count = len(block) // 8
    out = bytearray(block)
    for at in range(count):
        if out[at * 8] == _JNE:
            struct.pack_into("=h", out, at * 8 + 2, count - at - 1)
    return bytes(out)


class _LoadAttributes(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log", ctypes.c_uint64),
        ("kernel_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


def load_program(program: bytes) -> int:
    """Have the kernel verify the program; returns its descriptor, which may be attached to many cgroups."""
    code = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = _LoadAttributes(
        PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code), ctypes.addressof(license_)
    )
    descriptor = syscall(BPF, PROG_LOAD, ctypes.byref(attributes), ctypes.sizeof(attributes), what="device filter")
    os.set_inheritable(descriptor, False)
    return descriptor


def attach_program(cgroup: int, program: int) -> None:
    """Attach a loaded program to a cgroup directory; it goes with the cgroup."""
    attributes = struct.pack("=IIII", cgroup, program, ATTACH_CGROUP_DEVICE, ALLOW_MULTI)
    syscall(BPF, PROG_ATTACH, attributes, len(attributes), what="device filter")
