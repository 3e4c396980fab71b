"""A tree of files as a tar archive, read by descriptor below a root that somebody else may be changing meanwhile.

Directories are opened from the root by a path in which the kernel refuses symlinks (openat2 RESOLVE_NO_SYMLINKS), all
else by name below its directory without following; a rename while we read can give an odd archive, but nothing from
outside of the root. At most one directory is open at a time, so a deep tree does not cost descriptors.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ..linux.paths import RESOLVE_NO_SYMLINKS, open_in_root
from .tar_format import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    END,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
    Entry,
    format_entry,
    padding,
)

CHUNK = 1 << 18
XATTRS = ("security.capability", "user.")
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NO_XATTRS = (errno.ENOTSUP, errno.ENODATA)


@dataclass(frozen=True)
class Source:
    """What is packed.

    Attributes:
        root: descriptor of a directory that is not left.
        path: of what is packed, below the root; "" for the root itself.
        name: its name in the archive; "" leaves out the directory itself, and its content stands at the top.
        layer: the tree is the upper directory of an overlay: write its whiteouts as OCI does.
        skipped: paths below the root that are left out where they are empty; made by the engine, not by the user.
    """

    root: int
    path: str
    name: str
    layer: bool = False
    skipped: frozenset[str] = frozenset()


def pack_tree(source: Source) -> Iterator[bytes]:
    """The archive, in parts; sockets are left out, as tar has no word for them.

    Raises:
        OSError: what is packed is not there, or cannot be read.
    """
    links: dict[tuple[int, int], str] = {}
    head, _, last = source.path.rstrip("/").rpartition("/")
    if last:
        directory = _open(source, head)
        try:
            status = os.stat(last, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                yield from _pack(source, directory, last, status, source.name, links)
                yield END
                return
        finally:
            os.close(directory)
    pending = [(source.path.strip("/"), source.name)]
    while pending:
        path, name = pending.pop()
        yield from _pack_directory(source, path, name, pending, links)
    yield END


def _open(source: Source, path: str) -> int:
    return open_in_root(source.root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS)


def _join(head: str, tail: str) -> str:
    return f"{head}/{tail}" if head and not head.endswith("/") else head + tail


def _pack_directory(
    source: Source, path: str, name: str, pending: list[tuple[str, str]], links: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    try:
        directory = _open(source, path)
    except OSError as error:
        if error.errno in _GONE and (path or name) and path != source.path.strip("/"):
            return  # it went while we were reading
        raise
    try:
        if name:
            entry = _entry(os.fstat(directory), name.rstrip("/") + "/", DIRECTORY)
            entry.xattrs = _xattrs(directory)
            yield format_entry(entry)
            if source.layer and _is_opaque(directory):
                yield format_entry(Entry(_join(name, ".wh..wh..opq")))
        below = []
        for child in sorted(os.listdir(directory)):
            try:
                status = os.stat(child, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            inner, inner_name = _join(path, child), _join(name, child)
            if stat.S_ISDIR(status.st_mode):
                if inner not in source.skipped or _has_entries(source, inner):
                    below.append((inner, inner_name))
            elif not (inner in source.skipped and status.st_size == 0):
                yield from _pack(source, directory, child, status, inner_name, links)
        pending += reversed(below)
    finally:
        os.close(directory)


def _has_entries(source: Source, path: str) -> bool:
    """Whether a directory that the engine made holds more than what the engine made in it."""
    directory = _open(source, path)
    try:
        return any(_join(path, name) not in source.skipped for name in os.listdir(directory))
    finally:
        os.close(directory)


def _pack(
    source: Source,
    directory: int,
    child: str,
    status: os.stat_result,
    name: str,
    links: dict[tuple[int, int], str],
) -> Iterator[bytes]:
    """Anything but a directory."""
    kind, mode = stat.S_IFMT(status.st_mode), status.st_mode
    if source.layer and stat.S_ISCHR(mode) and status.st_rdev == 0:
        yield format_entry(Entry(_join(name.rpartition("/")[0], f".wh.{child}")))
        return
    if kind == stat.S_IFSOCK:
        return
    if status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            entry = _entry(status, name, LINK)
            entry.target = first
            yield format_entry(entry)
            return
    if kind == stat.S_IFREG:
        yield from _pack_file(directory, child, name)
        return
    entry = _entry(status, name, _KINDS[kind])
    if kind == stat.S_IFLNK:
        entry.target = os.readlink(child, dir_fd=directory)
    elif kind != stat.S_IFIFO:
        entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    yield format_entry(entry)


_KINDS = {stat.S_IFLNK: SYMLINK, stat.S_IFCHR: CHARACTER, stat.S_IFBLK: BLOCK_DEVICE, stat.S_IFIFO: FIFO}


def _pack_file(directory: int, child: str, name: str) -> Iterator[bytes]:
    try:
        # Not blocking: it may have become a FIFO since we looked.
        file = os.open(child, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (*_GONE, errno.ENXIO):
            return
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return
        entry = _entry(status, name, REGULAR)
        entry.size, entry.xattrs = status.st_size, _xattrs(file)
        yield format_entry(entry)
        left = entry.size
        while left:
            data = os.read(file, min(left, CHUNK)) or bytes(min(left, CHUNK))  # zeros where it has become shorter
            left -= len(data)
            yield data
        yield bytes(padding(entry.size))
    finally:
        os.close(file)


def _entry(status: os.stat_result, name: str, kind: bytes) -> Entry:
    return Entry(name, kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, mtime_ns=status.st_mtime_ns)


def _xattrs(descriptor: int) -> dict[str, bytes]:
    found = {}
    try:
        for name in os.listxattr(descriptor):
            if name.startswith(XATTRS) and not name.startswith("user.overlay."):
                found[name] = os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
    return found


def _is_opaque(directory: int) -> bool:
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return False
        raise
