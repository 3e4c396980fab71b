"""Reading a tar archive from a stream that can only go forward, written by a stranger.

Own code rather than Python's tarfile for three reasons: every header has a bound here (tarfile reads a name of any
length into memory), times keep their nanoseconds, and whoever wants can have all bytes that are not a file's content,
from which `recipe` rebuilds the archive later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from .tar_format import (
    BLOCK,
    GNU_LINK,
    GNU_NAME,
    GNU_SPARSE,
    PAX,
    PAX_GLOBAL,
    WITHOUT_PAYLOAD,
    Entry,
    TarError,
    apply_records,
    decode,
    padding,
    parse_header,
    parse_number,
    parse_records,
)

MAX_HEADER = 1 << 20
MAX_GLOBALS = 1000
MAX_PARTS = 100_000
CHUNK = 1 << 18


class TarReader:
    """The entries of an archive, one after the other; the payload of each must be read before the next is asked for.

    Arguments:
        source: the uncompressed stream.
        keep: gets every byte that `read` does not return, in order.
    """

    def __init__(self, source: IO[bytes], keep: Callable[[bytes], None] | None = None) -> None:
        self._source, self._keep = source, keep
        self._left = self._padding = 0
        self._globals: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        """The entries.

        Raises:
            TarError: not an archive, or a damaged one.
        """
        first = True
        while (entry := self._next(first)) is not None:
            first = False
            yield entry

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the current entry's payload; b"" at its end.

        Raises:
            TarError: the archive ends within it.
        """
        wanted = min(size, self._left)
        if not wanted:
            return b""
        data = self._source.read(wanted)
        if not data:
            raise TarError("truncated")
        self._left -= len(data)
        return data

    def read_kept(self, size: int) -> bytes:
        """As `read`, for payload that is to be kept with the headers."""
        data = self.read(size)
        self._note(data)
        return data

    def finish(self) -> None:
        """Read on to the end of the stream, behind the end of the archive."""
        while data := self._source.read(CHUNK):
            self._note(data)

    def _note(self, data: bytes) -> None:
        if self._keep is not None:
            self._keep(data)

    def _exactly(self, size: int) -> bytes:
        """So many bytes, or fewer at the end of the stream."""
        data = self._source.read(size)
        while 0 < len(data) < size:
            more = self._source.read(size - len(data))
            if not more:
                break
            data += more
        self._note(data)
        return data

    def _skip(self) -> None:
        while self._left:
            self.read_kept(CHUNK)
        if self._padding and len(self._exactly(self._padding)) != self._padding:
            raise TarError("truncated")
        self._padding = 0

    def _block(self) -> bytes:
        block = self._exactly(BLOCK)
        if len(block) not in (0, BLOCK):
            raise TarError("truncated")
        return block

    def _next(self, first: bool) -> Entry | None:
        self._skip()
        records: list[tuple[str, bytes]] = []
        names: dict[bytes, str] = {}
        while True:
            block = self._block()
            if not block:
                if first or records or names:
                    raise TarError("empty" if first else "truncated")
                return None
            if not block.strip(b"\0"):
                if (second := self._block()).strip(b"\0"):
                    raise TarError("an empty block within the archive")
                if not second and first:
                    raise TarError("truncated")
                return None
            entry = parse_header(block)
            if entry.kind == PAX:
                records = parse_records(self._body(entry.size))
            elif entry.kind == PAX_GLOBAL:
                self._globals |= parse_records(self._body(entry.size))
                if len(self._globals) > MAX_GLOBALS:
                    raise TarError("too many global records")
            elif entry.kind in (GNU_NAME, GNU_LINK):
                names[entry.kind] = decode(self._body(entry.size).partition(b"\0")[0])
            else:
                return self._finish(entry, block, records, names)
            first = False

    def _body(self, size: int) -> bytes:
        if size > MAX_HEADER:
            raise TarError(f"a header is larger than {MAX_HEADER} bytes")
        data = self._exactly(size)
        if len(data) != size or len(self._exactly(padding(size))) != padding(size):
            raise TarError("truncated")
        return data

    def _finish(self, entry: Entry, block: bytes, records: list[tuple[str, bytes]], names: dict[bytes, str]) -> Entry:
        entry.name = names.get(GNU_NAME, entry.name)
        entry.target = names.get(GNU_LINK, entry.target)
        known = {**self._globals, **dict(records)}
        apply_records(entry, known)
        if entry.kind in WITHOUT_PAYLOAD:
            entry.size = entry.real_size = 0
        self._left, self._padding = entry.size, padding(entry.size)
        if entry.kind == GNU_SPARSE:
            self._old_sparse(entry, block)
        elif entry.is_file and any(key.startswith("GNU.sparse.") for key in known):
            self._pax_sparse(entry, known, records)
        return entry

    def _old_sparse(self, entry: Entry, header: bytes) -> None:
        """GNU's own header: four parts, and blocks of 21 more where the flag says so."""
        parts, more = _old_parts(header[386:482], 4), header[482]
        while more:
            if len(block := self._block()) != BLOCK:
                raise TarError("truncated")
            parts += _old_parts(block, 21)
            more = block[504]
            if len(parts) > MAX_PARTS:
                raise TarError("a sparse file has too many parts")
        entry.sparse, entry.real_size = parts, parse_number(header[483:495])
        _check_parts(entry)

    def _pax_sparse(self, entry: Entry, known: dict[str, bytes], records: list[tuple[str, bytes]]) -> None:
        """The three ways in which GNU tar writes a sparse file with pax records."""
        size = known.get("GNU.sparse.realsize", known.get("GNU.sparse.size"))
        if size is None or not size.isdigit() or len(size) > 18:
            raise TarError("a sparse file without a size")
        entry.name = decode(known["GNU.sparse.name"]) if "GNU.sparse.name" in known else entry.name
        if known.get("GNU.sparse.major") == b"1":
            numbers = self._sparse_map(entry)
        elif "GNU.sparse.map" in known:
            numbers = _numbers(known["GNU.sparse.map"].split(b","))
        else:
            numbers = _numbers([value for key, value in records if key in ("GNU.sparse.offset", "GNU.sparse.numbytes")])
        if len(numbers) % 2:
            raise TarError("a sparse map is malformed")
        entry.sparse, entry.real_size = list(zip(numbers[::2], numbers[1::2], strict=True)), int(size)
        _check_parts(entry)

    def _sparse_map(self, entry: Entry) -> list[int]:
        """Version 1.0: the map is in front of the payload, decimal lines that fill whole blocks."""
        text, lines, wanted = b"", 0, 1
        while lines < wanted:
            block = b""
            while len(block) < BLOCK:
                more = self.read_kept(BLOCK - len(block))
                if not more:
                    raise TarError("a sparse map is malformed")
                block += more
            text += block
            if not lines and b"\n" in block:
                wanted += 2 * _numbers([text.partition(b"\n")[0]])[0]
            lines += block.count(b"\n")
            if wanted > 2 * MAX_PARTS or len(text) > MAX_HEADER * 4:
                raise TarError("a sparse file has too many parts")
        entry.size = self._left
        return _numbers(text.split(b"\n", wanted)[1:wanted])


def _old_parts(data: bytes, count: int) -> list[tuple[int, int]]:
    found = []
    for at in range(0, 24 * count, 24):
        if data[at] == 0:
            break
        found.append((parse_number(data[at : at + 12]), parse_number(data[at + 12 : at + 24])))
    return found


def _numbers(texts: list[bytes]) -> list[int]:
    if len(texts) > 2 * MAX_PARTS or not all(text.isdigit() and len(text) <= 18 for text in texts):
        raise TarError("a sparse map is malformed")
    return [int(text) for text in texts]


def _check_parts(entry: Entry) -> None:
    """The parts are in order, within the file, and the payload is what they hold."""
    at = 0
    for offset, length in entry.sparse or ():
        if offset < at or length < 0:
            raise TarError("a sparse map is malformed")
        at = offset + length
    if at > entry.real_size or sum(length for _, length in entry.sparse or ()) != entry.size:
        raise TarError("a sparse map does not fit its file")
