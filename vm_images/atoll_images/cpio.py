"""Writing cpio archives of the "newc" format, the one the kernel unpacks (Documentation/driver-api/early-userspace).

The output depends on nothing but the entries: inode numbers count up, owner and times are zero. Archives are padded, so
that the bytes of several can simply follow one another: the kernel unpacks each over the one before.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .errors import ImageError

_ALIGNMENT = 4
_BLOCK = 512
_TRAILER = "TRAILER!!!"
_MAX_SIZE = 2**32 - 1


@dataclass(frozen=True)
class CpioEntry:
    """One file, directory, symbolic link (`data` is its target) or device.

    Attributes:
        path: relative, parts separated by `/`.
        mode: type and permission bits, as in stat(2).
        device: major and minor number of a device node.
    """

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file_entry(path: str, data: bytes, mode: int = 0o644) -> CpioEntry:
    """A regular file."""
    return CpioEntry(path, stat.S_IFREG | mode, data)


def write_cpio(entries: Iterable[CpioEntry]) -> bytes:
    """Format an archive; directories above an entry are added where they are missing, since the kernel adds none."""
    out = bytearray()
    number = 0
    for number, entry in enumerate(_with_parents(entries), 1):
        _append(out, number, entry)
    _append(out, number + 1, CpioEntry(_TRAILER, 0))
    _pad(out, _BLOCK)
    return bytes(out)


def _with_parents(entries: Iterable[CpioEntry]) -> Iterator[CpioEntry]:
    seen: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in entry.path:
            raise ImageError(f"cpio: not a plain relative path: {entry.path!r}")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in seen:
                seen.add(parent)
                yield CpioEntry(parent, stat.S_IFDIR | 0o755)
        if entry.path not in seen or not stat.S_ISDIR(entry.mode):
            seen.add(entry.path)
            yield entry


def _append(out: bytearray, number: int, entry: CpioEntry) -> None:
    name = entry.path.encode() + b"\0"
    if len(entry.data) > _MAX_SIZE:
        raise ImageError(f"cpio: {entry.path} is too large for this format")
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    _pad(out, _ALIGNMENT)
    out += entry.data
    _pad(out, _ALIGNMENT)


def _pad(out: bytearray, alignment: int) -> None:
    out += bytes(-len(out) % alignment)
