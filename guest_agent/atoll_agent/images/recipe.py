"""How a layer's archive is made again, byte for byte, from the directory into which it was unpacked.

A layer is known by the digest of its tar archive, so saving or pushing it must give those very bytes, while keeping the
archive beside the directory would need twice the space. A recipe keeps what is not content of files (headers,
padding, the end), compressed, and for the content the name of the file that has it.

    "R" length:4 bytes             raw bytes
    "F" size:8 length:4 path       the content of a file below the layer's directory
    "E"                            the end

in a gzip stream, so that a torn recipe is noticed; numbers are big-endian. That the result is right is not assumed:
whoever reads it compares the digest.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from ..linux.paths import open_in_root

RAW_BUFFER = 1 << 16
CHUNK = 1 << 18
MAX_PATH = 1 << 16


class RecipeError(Exception):
    """A recipe and its directory do not give an archive."""


class RecipeWriter:
    """Writes a recipe while a layer is unpacked."""

    def __init__(self, path: Path) -> None:
        self._out = gzip.GzipFile(path, "wb", compresslevel=4, mtime=0)
        self._raw: list[bytes] = []
        self._size = 0

    def keep(self, data: bytes) -> None:
        """Bytes of the archive that are not content of a file."""
        self._raw.append(data)
        self._size += len(data)
        if self._size >= RAW_BUFFER:
            self._flush()

    def file(self, path: str, size: int) -> None:
        """What follows in the archive is the content of the file at `path`."""
        self._flush()
        raw = os.fsencode(path)
        self._out.write(b"F" + size.to_bytes(8, "big") + len(raw).to_bytes(4, "big") + raw)

    def _flush(self) -> None:
        if self._size:
            self._out.write(b"R" + self._size.to_bytes(4, "big"))
            self._out.write(b"".join(self._raw))
            self._raw, self._size = [], 0

    def close(self, *, whole: bool = True) -> None:
        """End the recipe; without `whole` it stays one that cannot be followed."""
        if whole:
            self._flush()
            self._out.write(b"E")
        self._out.close()


def follow_recipe(recipe: Path, directory: int) -> Iterator[bytes]:
    """The archive's bytes, in parts.

    Arguments:
        directory: descriptor of the layer's directory.

    Raises:
        RecipeError: torn, or a file is not as it was.
    """
    try:
        with gzip.GzipFile(recipe, "rb") as source:
            while (kind := source.read(1)) != b"E":
                if kind == b"R":
                    left = int.from_bytes(source.read(4), "big")
                    while left:
                        data = source.read(min(left, CHUNK))
                        if not data:
                            raise RecipeError("the recipe is torn")
                        left -= len(data)
                        yield data
                elif kind == b"F":
                    size, length = int.from_bytes(source.read(8), "big"), int.from_bytes(source.read(4), "big")
                    path = source.read(length) if length <= MAX_PATH else b""
                    yield from _content(directory, path, size)
                else:
                    raise RecipeError("the recipe is torn")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecipeError(f"the recipe is torn: {error}") from error


def _content(directory: int, path: bytes, size: int) -> Iterator[bytes]:
    try:
        file = open_in_root(directory, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise RecipeError(f"{os.fsdecode(path)}: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise RecipeError(f"{os.fsdecode(path)} is not the file that it was")
        while size:
            data = os.read(file, min(size, CHUNK))
            if not data:
                raise RecipeError(f"{os.fsdecode(path)} is not the file that it was")
            size -= len(data)
            yield data
    finally:
        os.close(file)
