"""Compiling seccomp filters with libseccomp, by its C interface (seccomp_init(3) and its neighbours)."""

from __future__ import annotations

import ctypes
import os

SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_ACT_LOG = 0x7FFC0000
SCMP_ACT_KILL_PROCESS = 0x80000000
SCMP_ACT_KILL_THREAD = 0x00000000
SCMP_ACT_TRAP = 0x00030000
SCMP_FLTATR_CTL_OPTIMIZE = 8
COMPARISONS = {
    "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7,
}  # fmt: skip
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7, "SCMP_ARCH_ARM": 0x40000028,
}  # fmt: skip
NR_SCMP_ERROR = -1


def errno_action(number: int) -> int:
    """SCMP_ACT_ERRNO(number)."""
    return 0x00050000 | number & 0xFFFF


class _Argument(ctypes.Structure):
    _fields_ = (("index", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class Filter:
    """A filter being built. Free it with `close`."""

    def __init__(self, default_action: int) -> None:
        """Raises OSError where libseccomp is not installed."""
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default_action)))
        self._library.seccomp_attr_set(self._context, SCMP_FLTATR_CTL_OPTIMIZE, ctypes.c_uint32(2))

    def close(self) -> None:
        """Free the filter."""
        self._library.seccomp_release(self._context)

    def add_architecture(self, name: str) -> None:
        """Also filter another system call table of this machine (`SCMP_ARCH_X86`)."""
        self._check(self._library.seccomp_arch_add(self._context, ctypes.c_uint32(ARCHITECTURES[name])), -17)

    def add_rule(self, action: int, name: str, arguments: list[tuple[int, str, int, int]]) -> None:
        """Add a rule for a system call; a name this machine does not have is passed over.

        Arguments:
            arguments: (index, comparison, value, second value) that must all hold.
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == NR_SCMP_ERROR:
            return
        array = (_Argument * max(1, len(arguments)))(
            *(_Argument(index, COMPARISONS[op], a, b) for index, op, a, b in arguments)
        )
        self._check(
            self._library.seccomp_rule_add_array(
                self._context, ctypes.c_uint32(action), number, len(arguments), ctypes.byref(array)
            ),
            -17,  # EEXIST: the same rule again
            -13,  # EACCES: the action is the default one
        )

    def export(self) -> bytes:
        """The compiled program: an array of `struct sock_filter`."""
        memory = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            self._check(self._library.seccomp_export_bpf(self._context, memory))
            os.lseek(memory, 0, os.SEEK_SET)
            parts = []
            while data := os.read(memory, 1 << 16):
                parts.append(data)
            return b"".join(parts)
        finally:
            os.close(memory)

    @staticmethod
    def _check(result: int, *harmless: int) -> None:
        if result < 0 and result not in harmless:
            raise OSError(-result, os.strerror(-result), "libseccomp")
