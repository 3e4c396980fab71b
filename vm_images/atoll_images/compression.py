"""Decompression by format, with one kind of error."""

from __future__ import annotations

import gzip
import importlib
import lzma
import sys
import zlib
from typing import Any

from .errors import ImageError

_MAGIC = {b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}


def find_format(data: bytes) -> str | None:
    """Name the compression that `data` begins with; None for none of ours."""
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)


def decompress(data: bytes, what: str) -> bytes:
    """Undo whichever compression `data` begins with; data of no known format is returned as it is.

    Raises:
        ImageError: truncated or damaged.
    """
    name = find_format(data)
    try:
        if name == "xz":
            return lzma.decompress(data, lzma.FORMAT_XZ)
        if name == "gzip":
            return gzip.decompress(data)
        if name == "zstd":
            return bytes(_zstd().decompress(data))
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise ImageError(f"{what}: damaged {name} data: {error}") from error
    except _zstd_error() as error:
        raise ImageError(f"{what}: damaged zstd data: {error}") from error
    return data


def decompress_prefix(data: bytes, what: str) -> bytes:
    """Like `decompress`, for one stream that has something else behind it."""
    name = find_format(data)
    machine: Any
    if name == "xz":
        machine = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    elif name == "gzip":
        machine = zlib.decompressobj(wbits=31)
    elif name == "zstd":
        machine = _zstd().ZstdDecompressor()
    else:
        raise ImageError(f"{what}: unknown compression {data[:4].hex()}")
    try:
        plain = bytes(machine.decompress(data))
    except (lzma.LZMAError, zlib.error, _zstd_error()) as error:
        raise ImageError(f"{what}: damaged {name} data: {error}") from error
    if not machine.eof:
        raise ImageError(f"{what}: truncated {name} data")
    return plain


def _zstd() -> Any:
    """The standard library's module (3.14) or its backport."""
    module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImageError("zstd data, but no zstd module", "pip install backports.zstd") from error


def _zstd_error() -> type[Exception]:
    """zstd's exception, without insisting on the module when no zstd was met."""
    try:
        error: type[Exception] = _zstd().ZstdError
        return error
    except ImageError:
        return ImageError
