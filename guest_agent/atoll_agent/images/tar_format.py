"""The header of a tar entry: POSIX ustar with pax records, read also in the dialects of GNU and of old.

Pure. Source: IEEE Std 1003.1, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar's manual, "Basic Tar
Format" and "Storing Sparse Files". Names are text whose bytes that are not UTF-8 are surrogates, as Python names files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

BLOCK = 512
REGULAR, OLD_REGULAR, CONTIGUOUS = b"0", b"\0", b"7"
LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"1", b"2", b"3", b"4", b"5", b"6"
PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK, GNU_SPARSE = b"x", b"g", b"L", b"K", b"S"
WITHOUT_PAYLOAD = (LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)
XATTR = "SCHILY.xattr."
END = bytes(2 * BLOCK)
MAX_NUMBER = (1 << 63) - 1
_NS = 1_000_000_000


class TarError(ValueError):
    """Not a tar archive, or a damaged one."""


@dataclass
class Entry:
    """One member of an archive.

    Attributes:
        name: as written; a directory's may end with a slash.
        kind: the type flag, one byte.
        mode: permission bits.
        size: bytes of payload in the archive.
        mtime_ns: nanoseconds since 1970; may be negative.
        target: of a link.
        major: device number.
        minor: device number.
        xattrs: extended attributes by name.
        sparse: (offset, length) of the parts that the payload holds; None for a file without holes.
        real_size: bytes of the file with its holes.
    """

    name: str
    kind: bytes = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    target: str = ""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sparse: list[tuple[int, int]] | None = None
    real_size: int = 0

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind in (REGULAR, OLD_REGULAR, CONTIGUOUS, GNU_SPARSE)


def decode(raw: bytes) -> str:
    """A name of an archive as text."""
    return raw.decode("utf-8", "surrogateescape")


def padding(size: int) -> int:
    """Bytes that fill the last block of a payload."""
    return -size % BLOCK


# -- reading -----------------------------------------------------------------------------------


def _text(field_: bytes) -> str:
    return decode(field_.partition(b"\0")[0])


def parse_number(field_: bytes) -> int:
    """A number of a header: octal digits, or GNU's binary form.

    Raises:
        TarError: neither.
    """
    if field_[0] & 0x80:
        value = int.from_bytes(field_, "big", signed=False) & ((1 << (8 * len(field_) - 1)) - 1)
        if field_[0] & 0x40:
            value -= 1 << (8 * len(field_) - 1)
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise TarError("a number in a header is out of range")
        return value
    digits = field_.replace(b"\0", b" ").strip()
    try:
        return int(digits or b"0", 8)
    except ValueError as error:
        raise TarError("a number in a header is malformed") from error


def parse_header(block: bytes) -> Entry:
    """A header block as an entry, before what pax records say of it.

    Raises:
        TarError: not a header.
    """
    claimed = parse_number(block[148:156])
    blank = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blank) if max(blank) > 127 else sum(blank)
    if claimed not in (sum(blank), signed):
        raise TarError("a header has a wrong checksum")
    name, kind = _text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    if kind in (OLD_REGULAR, REGULAR) and name.endswith("/"):
        kind = DIRECTORY  # as archives before POSIX had it
    devices = block[257:262] == b"ustar"
    size = parse_number(block[124:136])
    if size < 0:
        raise TarError("an entry has a negative size")
    return Entry(
        name=name,
        kind=kind,
        mode=parse_number(block[100:108]) & 0o7777,
        uid=parse_number(block[108:116]),
        gid=parse_number(block[116:124]),
        size=size,
        mtime_ns=parse_number(block[136:148]) * _NS,
        target=_text(block[157:257]),
        major=parse_number(block[329:337]) if devices else 0,
        minor=parse_number(block[337:345]) if devices else 0,
        real_size=size,
    )


def parse_records(data: bytes) -> list[tuple[str, bytes]]:
    """The records of a pax header, in order.

    Raises:
        TarError: malformed.
    """
    found, at = [], 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > 0 else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break
            raise TarError("a pax record is malformed")
        end = at + int(digits)
        equals = data.find(b"=", space, end)
        if end > len(data) or equals < 0 or data[end - 1 : end] != b"\n":
            raise TarError("a pax record is malformed")
        found.append((decode(data[space + 1 : equals]), data[equals + 1 : end - 1]))
        at = end
    return found


def parse_time(text: bytes) -> int:
    """Seconds with a fraction, as nanoseconds.

    Raises:
        TarError: malformed or out of range.
    """
    whole, dot, fraction = text.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18 or (dot and fraction and not fraction.isdigit()):
        raise TarError("a time is malformed")
    nanoseconds = int(digits) * _NS + int(fraction[:9].ljust(9, b"0") or b"0")
    return -nanoseconds if whole.startswith(b"-") else nanoseconds


def _integer(text: bytes) -> int:
    if not text.removeprefix(b"-").isdigit() or len(text) > 19:
        raise TarError("a number in a pax record is malformed")
    return int(text)


def apply_records(entry: Entry, records: dict[str, bytes]) -> None:
    """Let pax records have their say.

    Raises:
        TarError: malformed.
    """
    for key, value in records.items():
        if key == "path":
            entry.name = decode(value)
        elif key == "linkpath":
            entry.target = decode(value)
        elif key == "size":
            entry.size = entry.real_size = _integer(value)
            if entry.size < 0:
                raise TarError("an entry has a negative size")
        elif key == "uid":
            entry.uid = _integer(value)
        elif key == "gid":
            entry.gid = _integer(value)
        elif key == "mtime":
            entry.mtime_ns = parse_time(value)
        elif key.startswith(XATTR):
            entry.xattrs[key[len(XATTR) :]] = value


# -- writing -----------------------------------------------------------------------------------


def _field(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def _record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    if len(str(length)) != len(str(len(body))):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _number(entry_value: int, limit: int, key: str, records: dict[str, bytes]) -> int:
    if 0 <= entry_value < limit:
        return entry_value
    records[key] = str(entry_value).encode()
    return 0


def _name(text: str, key: str, records: dict[str, bytes]) -> bytes:
    raw = os.fsencode(text)
    if len(raw) > 100 or not raw.isascii():
        records[key] = raw
        raw = raw[:100]
    return raw


def format_time(nanoseconds: int) -> bytes:
    """As pax writes it."""
    seconds, rest = divmod(abs(nanoseconds), _NS)
    text = f"{'-' if nanoseconds < 0 else ''}{seconds}" + (f".{rest:09d}".rstrip("0") if rest else "")
    return text.encode()


def format_entry(entry: Entry) -> bytes:
    """The blocks in front of an entry's payload: ustar, behind a pax header where that cannot tell all."""
    records: dict[str, bytes] = {}
    name, target = _name(entry.name, "path", records), _name(entry.target, "linkpath", records)
    uid, gid = _number(entry.uid, 1 << 21, "uid", records), _number(entry.gid, 1 << 21, "gid", records)
    size = _number(entry.size, 1 << 33, "size", records)
    seconds, fraction = divmod(entry.mtime_ns, _NS)
    if fraction or not 0 <= seconds < 1 << 33:
        records["mtime"] = format_time(entry.mtime_ns)
        seconds = max(0, min(seconds, (1 << 33) - 1))
    for key, value in sorted(entry.xattrs.items()):
        records[XATTR + key] = value
    block = _header(name, entry, uid, gid, size, seconds, target)
    if not records:
        return block
    data = b"".join(_record(key, value) for key, value in records.items())
    front = _header(b"PaxHeaders/" + name[-80:].lstrip(b"/"), Entry("", PAX), 0, 0, len(data), 0, b"")
    return front + data + bytes(padding(len(data))) + block


def _header(name: bytes, entry: Entry, uid: int, gid: int, size: int, seconds: int, target: bytes) -> bytes:
    parts = (
        name.ljust(100, b"\0"), _field(entry.mode & 0o7777, 8), _field(uid, 8), _field(gid, 8), _field(size, 12),
        _field(seconds, 12), b" " * 8, entry.kind, target.ljust(100, b"\0"), b"ustar\x0000", bytes(64),
        _field(entry.major & 0o7777777, 8), _field(entry.minor & 0o7777777, 8), bytes(167),
    )  # fmt: skip
    block = b"".join(parts)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
