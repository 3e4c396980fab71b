"""Resolving paths inside a root that somebody else controls: openat2(2).

RESOLVE_IN_ROOT makes the kernel treat `root` as `/` for every symlink and `..` on the way, without a window in which
a rename could lead outside; magic links (`/proc/PID/fd`, `/proc/PID/root`) are refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat

from .syscalls import OPENAT2, check, libc, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: str | bytes, flags: int = os.O_PATH, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` as a process whose root directory is `root` would, magic links refused."""
    flags |= os.O_CLOEXEC
    how = _OpenHow(flags, mode if flags & os.O_CREAT else 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve)
    name = os.fsencode(path) or b"."
    while True:
        try:
            return syscall(OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how), what=path)
        except OSError as error:
            # openat2(2): EAGAIN says that a rename raced with `..`; trying again is what the manual asks for.
            if error.errno != errno.EAGAIN:
                raise


def make_directories(root: int, path: str, mode: int = 0o755) -> int:
    """Make a directory and its parents inside `root`, following symlinks as inside; returns an O_PATH descriptor.

    Every component is made by descriptor, so a directory swapped for a symlink meanwhile cannot lead outside.
    """
    current = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    walked: list[str] = []
    try:
        for part in path.split("/"):
            if part in ("", "."):
                continue
            walked.append(part)
            following = _enter_or_make(root, current, part, "/".join(walked), mode)
            os.close(current)
            current = following
        return current
    except BaseException:
        os.close(current)
        raise


def _enter_or_make(root: int, parent: int, part: str, walked: str, mode: int) -> int:
    try:
        return open_in_root(root, walked, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        if part == "..":
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, mode, dir_fd=parent)
    return open_in_root(root, walked, os.O_PATH | os.O_DIRECTORY)


def make_mount_point(root: int, path: str, *, directory: bool) -> int:
    """Open the place where something shall be mounted, making an empty directory or file where there is none.

    Raises:
        OSError: ENOTDIR or EISDIR where what exists is of the other kind.
    """
    if directory:
        return make_directories(root, path)
    head, _, name = path.rstrip("/").rpartition("/")
    parent = make_directories(root, head)
    try:
        try:
            found = open_in_root(root, path)
        except FileNotFoundError:
            made = os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent)
            os.close(made)
            found = open_in_root(root, path)
    finally:
        os.close(parent)
    if stat.S_ISDIR(os.fstat(found).st_mode):
        os.close(found)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return found


def read_in_root(root: int, path: str, limit: int = 1 << 20) -> bytes:
    """Read a regular file inside a root, at most `limit` bytes; b"" where there is none."""
    try:
        descriptor = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return b""
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        parts: list[bytes] = []
        while limit > 0 and (data := os.read(descriptor, min(limit, 65536))):
            parts.append(data)
            limit -= len(data)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def filesystem_type(descriptor: int) -> int:
    """The magic number of the file system a descriptor lies on (fstatfs(2), `f_type`)."""
    buffer = (ctypes.c_long * 32)()
    check(libc.fstatfs(descriptor, ctypes.byref(buffer)))
    return int(buffer[0])
