"""Waiting for a file to change: inotify(7)."""

from __future__ import annotations

import os
import struct

from .syscalls import check, libc

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVE_SELF = 0x800
IN_DELETE_SELF = 0x400
IN_NONBLOCK = os.O_NONBLOCK
IN_CLOEXEC = os.O_CLOEXEC


def watch_file(path: str, mask: int = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF) -> int:
    """A descriptor that becomes readable when the file changes; read it to clear it."""
    descriptor = check(libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC))
    try:
        check(libc.inotify_add_watch(descriptor, os.fsencode(path), mask), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_masks(descriptor: int) -> int:
    """Read what has happened since; the union of the events' masks."""
    data = os.read(descriptor, 4096)
    masks = at = 0
    while at + 16 <= len(data):
        _watch, mask, _cookie, length = struct.unpack_from("=iIII", data, at)
        masks |= mask
        at += 16 + length
    return masks
