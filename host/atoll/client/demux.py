"""A container's stdout and stderr out of one byte stream.

Without a terminal the engine sends both over one connection in frames: stream number u8, three zero bytes, length u32
(big endian), then so many bytes. The state machine only; it does no I/O and hands on parts of a frame as they come, so
a frame of any size needs no memory.
"""

from __future__ import annotations

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
HEADER_SIZE = 8


class DemuxError(Exception):
    """The bytes are not frames; usually a stream of a container with a terminal."""


class Demultiplexer:
    """Feed it bytes, get parts of streams."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._left = 0

    @property
    def at_boundary(self) -> bool:
        """Whether the stream may end here; elsewhere it was cut."""
        return not self._header and not self._left

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes from the connection; returns (stream, bytes) in the order of arrival.

        Raises:
            DemuxError: not a frame.
        """
        parts: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if not self._left:
                at = self._read_header(data, at)
                continue
            part = data[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            parts.append((self._stream, part))
        return parts

    def _read_header(self, data: bytes, at: int) -> int:
        end = at + HEADER_SIZE - len(self._header)
        self._header += data[at:end]
        if len(self._header) == HEADER_SIZE:
            if self._header[0] > SYSTEM_ERROR or self._header[1:4] != b"\0\0\0":
                raise DemuxError(f"not a frame of a multiplexed stream: {self._header!r}")
            self._stream = self._header[0]
            self._left = int.from_bytes(self._header[4:], "big")
            self._header = b""
        return end if end < len(data) else len(data)
