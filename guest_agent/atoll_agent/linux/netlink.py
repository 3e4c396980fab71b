"""Netlink messages: attributes, requests and their answers (RFC 3549; kernel `Documentation/userspace-api/netlink`)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_DUMP = 0x300

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLA_F_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

Attribute = tuple[int, "bytes | str | int | list[Attribute]"]
"""A type with its value: bytes as they are, str with a final NUL, int as host-order u32, a list nested."""


def pack_attributes(attributes: Iterable[Attribute], *, nested_flag: bool = False) -> bytes:
    """Encode attributes, each padded to four bytes; rtnetlink wants nests bare, netfilter wants them flagged."""
    out = bytearray()
    for kind, value in attributes:
        if isinstance(value, list):
            body = pack_attributes(value, nested_flag=nested_flag)
            kind |= NLA_F_NESTED if nested_flag else 0
        elif isinstance(value, str):
            body = value.encode() + b"\0"
        elif isinstance(value, int):
            body = struct.pack("=I", value)
        else:
            body = value
        out += _ATTRIBUTE.pack(len(body) + 4, kind) + body + b"\0" * (-len(body) % 4)
    return bytes(out)


def unpack_attributes(data: bytes) -> dict[int, bytes]:
    """Decode one level of attributes; of a repeated type the last stands."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def pack_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message with its header, padded."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body + b"\0" * (-len(body) % 4)


class Netlink:
    """A netlink socket in the network namespace it was made in. Not thread-safe."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, kind: int, flags: int, body: bytes, what: str = "") -> None:
        """Send one request and wait for its acknowledgement.

        Raises:
            OSError: the kernel refused; `filename` carries `what`.
        """
        self._sequence += 1
        self._socket.send(pack_message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, body))
        for _kind, _body in self._answers(self._sequence, what):
            pass

    def ask(self, kind: int, body: bytes, what: str = "") -> list[tuple[int, bytes]]:
        """Send a request and return the messages of its answer.

        Raises:
            OSError: the kernel refused.
        """
        self._sequence += 1
        self._socket.send(pack_message(kind, NLM_F_REQUEST | NLM_F_ACK, self._sequence, body))
        return list(self._answers(self._sequence, what))

    def dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        """Send a dump request and return the messages of its answer."""
        self._sequence += 1
        self._socket.send(pack_message(kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, body))
        return list(self._answers(self._sequence, "dump"))

    def send_batch(self, messages: list[tuple[int, int, bytes]], what: str) -> None:
        """Send a netfilter transaction; the kernel applies all of it or nothing.

        Arguments:
            messages: (type, flags, body) in order, between batch begin and end, which are added here.
        """
        begin, end = 0x10, 0x11  # NFNL_MSG_BATCH_BEGIN, _END
        header = struct.pack("=BBH", 0, 0, socket.htons(10))  # AF_UNSPEC, version 0, NFNL_SUBSYS_NFTABLES
        first = self._sequence + 1
        out = pack_message(begin, NLM_F_REQUEST, first, header)
        for offset, (kind, flags, body) in enumerate(messages, 1):
            out += pack_message(kind, flags | NLM_F_REQUEST, first + offset, body)
        last = first + len(messages)
        self._sequence = last + 1
        # Only the end of the batch asks for an acknowledgement: one answer for the transaction, or its errors.
        out += pack_message(end, NLM_F_REQUEST | NLM_F_ACK, self._sequence, header)
        self._socket.send(out)
        for _kind, _body in self._answers(self._sequence, what, earliest=first):
            pass

    def _answers(self, sequence: int, what: str, earliest: int | None = None) -> Iterable[tuple[int, bytes]]:
        earliest = sequence if earliest is None else earliest
        while True:
            data = self._socket.recv(1 << 18)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _flags, number, _pid = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if not earliest <= number <= sequence:
                    continue
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, os.strerror(code), what)
                    if number == sequence:
                        return
                    continue
                yield kind, body
