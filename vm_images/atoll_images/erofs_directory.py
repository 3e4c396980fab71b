"""EROFS directories: blocks of fixed-size entries, sorted by name in byte order, followed by the names.

Each block stands alone: entries first, then their names without separators; a name ends where the next begins, and
the last one at a NUL or at the end (fs/erofs/dir.c).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterable, Iterator, Mapping

_ENTRY = 12
_TYPES = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}


def directory_size(names: Iterable[bytes], block: int) -> int:
    """Size of the directory in bytes; depends on the names alone, so it is known before inodes have numbers."""
    groups = list(_groups(names, block))
    return (len(groups) - 1) * block + sum(_ENTRY + len(name) for name in groups[-1])


def format_directory(entries: Mapping[bytes, tuple[int, int]], own: int, parent: int, block: int) -> bytes:
    """Format a directory's content.

    Arguments:
        entries: name to inode number and mode.
        own: the directory's own inode number, for ".".
        parent: its parent's, for "..".
    """
    known = {**entries, b".": (own, stat.S_IFDIR), b"..": (parent, stat.S_IFDIR)}
    out = bytearray()
    for group in _groups(entries, block):
        out += bytes(-len(out) % block)
        position = _ENTRY * len(group)
        for name in group:
            nid, mode = known[name]
            out += struct.pack("<QHBB", nid, position, _TYPES[stat.S_IFMT(mode)], 0)
            position += len(name)
        out += b"".join(group)
    return bytes(out)


def _groups(names: Iterable[bytes], block: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    used = 0
    for name in sorted([*names, b".", b".."]):
        if used + _ENTRY + len(name) > block:
            yield group
            group, used = [], 0
        group.append(name)
        used += _ENTRY + len(name)
    yield group
