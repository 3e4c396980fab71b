"""A file or directory of this computer as a tar archive, piece by piece."""

from __future__ import annotations

import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import HostError

CHUNK = 256 * 1024
BLOCK = tarfile.BLOCKSIZE
EXECUTABLE = 0o755
"""Windows knows no permissions that a container would understand."""


def pack(source: Path, name: str) -> Iterator[bytes]:
    """Give the archive's bytes as they are read; links stay links, sockets are left out.

    Arguments:
        name: what the source is called in the archive; `.` for a directory whose content alone is meant.

    Raises:
        HostError: a file grew shorter while it was read.
        OSError: something cannot be read.
    """
    yield from _pack_entry(source, name)
    yield bytes(2 * BLOCK)


def _pack_entry(path: Path, name: str) -> Iterator[bytes]:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mtime = int(found.st_mtime)
    info.mode = stat.S_IMODE(found.st_mode)
    if sys.platform == "win32":
        info.mode = EXECUTABLE
    else:
        info.uid, info.gid = found.st_uid, found.st_gid
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 - as it is written
        yield _header(info)
    elif stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header(info)
        for child in sorted(path.iterdir()):
            yield from _pack_entry(child, f"{name}/{child.name}")
    elif stat.S_ISREG(found.st_mode):
        info.size = found.st_size
        yield _header(info)
        yield from _read_exactly(path, found.st_size)
    elif stat.S_ISFIFO(found.st_mode):
        info.type = tarfile.FIFOTYPE
        yield _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    # GNU's form keeps names that are no text as the bytes they are.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _read_exactly(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            data = file.read(min(CHUNK, left))
            if not data:
                raise HostError(f"{path} grew shorter while it was copied", "copy it again")
            left -= len(data)
            yield data
    if size % BLOCK:
        yield bytes(BLOCK - size % BLOCK)
