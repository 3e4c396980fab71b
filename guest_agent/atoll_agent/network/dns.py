"""DNS messages as far as containers' names need them (RFC 1035, RFC 6891). Pure: bytes in, bytes out.

A query for a container's name is answered here; every other is passed on as it came, so that nothing of it is lost.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from dataclasses import dataclass

_HEADER = struct.Struct(">HHHHHH")
A, PTR, AAAA, ANY, IN, OPT = 1, 12, 28, 255, 1, 41
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NOT_IMPLEMENTED = 0, 1, 2, 4
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
TTL_S = 600
PLAIN_SIZE = 512
MAX_NAME = 253
_QUESTION_AT = _HEADER.size


class Malformed(ValueError):
    """Not a query that can be answered."""


@dataclass(frozen=True)
class Query:
    """One question.

    Attributes:
        number: of the message.
        name: in lower case, without the final dot.
        kind: of record (`A`, `AAAA`, ...).
        question: its bytes, to be repeated in the answer.
        size: bytes of an answer that the asker can take by datagram.
        flags: of the message.
    """

    number: int
    name: str
    kind: int
    question: bytes
    size: int
    flags: int


def parse_query(data: bytes) -> Query:
    """Read a query.

    Raises:
        Malformed: not a standard query with one question.
    """
    if len(data) < _HEADER.size:
        raise Malformed("too short")
    number, flags, questions, _answers, _authorities, additional = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE) or questions != 1:
        raise Malformed("not a standard query with one question")
    name, at = _read_name(data, _QUESTION_AT)
    if at + 4 > len(data):
        raise Malformed("question is cut off")
    kind, class_ = struct.unpack_from(">HH", data, at)
    if class_ != IN:
        raise Malformed("not of the internet class")
    at += 4
    return Query(number, name, kind, data[_QUESTION_AT:at], _payload_size(data, at, additional), flags)


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    total = 0
    while True:
        if at >= len(data):
            raise Malformed("name is cut off")
        size = data[at]
        at += 1
        if size == 0:
            return ".".join(labels).lower(), at
        if size > 63 or at + size > len(data):  # a compressed name has no place in a question
            raise Malformed("name is malformed")
        total += size + 1
        if total > MAX_NAME + 1:
            raise Malformed("name is too long")
        labels.append(data[at : at + size].decode("latin-1"))
        at += size


def _payload_size(data: bytes, at: int, additional: int) -> int:
    """The size that an OPT record right behind the question allows."""
    if additional and data[at : at + 1] == b"\0" and at + 5 <= len(data):
        kind, size = struct.unpack_from(">HH", data, at + 1)
        if kind == OPT:
            return max(PLAIN_SIZE, min(int(size), 4096))
    return PLAIN_SIZE


def answer_addresses(query: Query, addresses: list[str]) -> bytes:
    """Answer with the addresses of the kind asked for, in random order; none is an answer too."""
    version = {A: 4, AAAA: 6}.get(query.kind)
    packed = [ip.packed for ip in map(ipaddress.ip_address, addresses) if ip.version == version or query.kind == ANY]
    random.shuffle(packed)
    return _answer(query, [(A if len(data) == 4 else AAAA, data) for data in packed])


def answer_name(query: Query, name: str) -> bytes:
    """Answer a reverse query."""
    encoded = b"".join(
        bytes((len(part),)) + part for part in name.encode("idna" if not name.isascii() else "ascii").split(b".")
    )
    return _answer(query, [(PTR, encoded + b"\0")])


def fail(data: bytes, code: int) -> bytes:
    """An answer that says only that there is none."""
    if len(data) < _HEADER.size:
        return b""
    number, flags = struct.unpack_from(">HH", data)
    kept = flags & (_OPCODE | _RECURSION_DESIRED)
    return _HEADER.pack(number, _RESPONSE | _RECURSION_AVAILABLE | kept | code, 0, 0, 0, 0)


def _answer(query: Query, records: list[tuple[int, bytes]]) -> bytes:
    flags = _RESPONSE | _RECURSION_AVAILABLE | query.flags & _RECURSION_DESIRED
    pointer = 0xC000 | _QUESTION_AT
    body = [struct.pack(">HHHIH", pointer, kind, IN, TTL_S, len(data)) + data for kind, data in records]
    return _HEADER.pack(query.number, flags, 1, len(body), 0, 0) + query.question + b"".join(body)


def fit(answer: bytes, query: Query) -> bytes:
    """An answer by datagram: one that is too long becomes its head with the mark that sends the asker to TCP."""
    if len(answer) <= query.size:
        return answer
    number, flags, *_ = _HEADER.unpack_from(answer)
    return _HEADER.pack(number, flags | _TRUNCATED, 1, 0, 0, 0) + query.question


def reverse_address(name: str) -> str:
    """The address that a reverse name (`4.3.2.1.in-addr.arpa`) asks for; "" when it is not one."""
    if name.endswith(".in-addr.arpa"):
        parts = name.removesuffix(".in-addr.arpa").split(".")
        text = ".".join(reversed(parts))
    elif name.endswith(".ip6.arpa"):
        digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        text = ":".join(digits[at : at + 4] for at in range(0, len(digits), 4))
    else:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
