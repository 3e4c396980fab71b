"""A small reader of 64-bit little-endian ELF: what an image builder must know, and no more.

From the dynamic section: which libraries a file needs and what name it gives itself. From a kernel module: the
strings of its `.modinfo` section.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .errors import ImageError

MACHINES = {62: "amd64", 183: "arm64"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME = 1, 5, 14


@dataclass(frozen=True)
class ElfFile:
    """What the dynamic linker would ask of a file.

    Attributes:
        machine: Debian's name of the architecture.
        needed: names of the shared libraries.
        soname: the file's own name as a library, or None.
        interpreter: path of the dynamic linker, or None.
    """

    machine: str
    needed: tuple[str, ...]
    soname: str | None
    interpreter: str | None


def is_elf(data: bytes) -> bool:
    """Whether the bytes begin like a 64-bit little-endian ELF file."""
    return data[:6] == b"\x7fELF\x02\x01"


def parse_elf(data: bytes, what: str) -> ElfFile:
    """Read a program or library.

    Raises:
        ImageError: not ELF, of a foreign architecture, or damaged.
    """
    if not is_elf(data):
        raise ImageError(f"{what}: not a 64-bit ELF file")
    try:
        return _parse(data)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ImageError(f"{what}: damaged ELF file: {error}") from error


def read_section(data: bytes, name: str, what: str) -> bytes:
    """Content of the section of that name; empty if there is none."""
    try:
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count, strings = struct.unpack_from("<HHH", data, 58)
        sections = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
        names = _slice(data, sections[strings][4], sections[strings][5])
        for section in sections:
            if _text(names, section[0]) == name:
                return _slice(data, section[4], section[5])
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ImageError(f"{what}: damaged ELF file: {error}") from error
    return b""


def _parse(data: bytes) -> ElfFile:
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic = interpreter = None
    for i in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, table + i * size)
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = _slice(data, offset, length)
        elif kind == _PT_INTERP:
            interpreter = _slice(data, offset, length).rstrip(b"\0").decode()
    needed, soname = _libraries(data, dynamic, loads) if dynamic else ((), None)
    return ElfFile(MACHINES[machine], needed, soname, interpreter)


def _libraries(data: bytes, dynamic: bytes, loads: list[tuple[int, int, int]]) -> tuple[tuple[str, ...], str | None]:
    entries = list(struct.iter_unpack("<qQ", dynamic))
    address = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if address is None:
        return (), None
    strings = next(offset + address - start for start, offset, length in loads if start <= address < start + length)
    needed = tuple(_text(data, strings + value) for tag, value in entries if tag == _DT_NEEDED)
    soname = next((_text(data, strings + value) for tag, value in entries if tag == _DT_SONAME), None)
    return needed, soname


def _slice(data: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise ValueError("truncated")
    return data[offset : offset + size]


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
