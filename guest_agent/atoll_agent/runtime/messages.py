"""What agent and supervisor say to each other on a unix stream socket.

A message is a 4-byte length (big endian) and a JSON object; descriptors ride on its first byte (SCM_RIGHTS). A request
names its `op`; its answer is `{"ok": ...}` or `{"error": message, "kind": ...}`.

    op        carries                                    answered when
    start     spec                                       the program runs, or could not be started
    exec      key, container, process (+ client)         the same
    attach    key, stdin, stdout, stderr, detach_keys,   the client's descriptor is taken over
              framed (+ client)
    kill      key, signal                                the signal has been sent
    resize    key, height, width                         done
    resolver  key                                        at once, with the sockets of its resolver (see `init`)
    forget    container                                  its streams are dropped
    list      -                                          at once: what runs, what ended and is not yet acknowledged
    watch     -                                          at once; then one message for every process that ends
    ended     key                                        the end is acknowledged and may be forgotten
    shutdown  timeout_s                                  at once; everything is stopped, then the supervisor ends

`key` is a container's id or an exec's id.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

MAX_MESSAGE = 16 << 20
Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Encode a message with its length."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "big") + body


def send(sock: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message on a blocking socket, with descriptors on its first byte."""
    data = encode(message)
    if descriptors:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        sent = sock.sendmsg([data], rights)
        data = data[sent:]
    sock.sendall(data)


class Reader:
    """Puts a stream of messages together again, with the descriptors that came along."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.descriptors: list[int] = []

    def read(self, sock: socket.socket) -> bool:
        """Read once; False at the end of the stream."""
        rights = socket.CMSG_SPACE(4 * 4)
        data, ancillary, _flags, _address = sock.recvmsg(65536, rights, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                self.descriptors.extend(numbers)
        self._buffer += data
        return bool(data)

    def take(self) -> Message | None:
        """The next whole message, or None.

        Raises:
            ValueError: not a message.
        """
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:4], "big")
        if size > MAX_MESSAGE:
            raise ValueError(f"message of {size} bytes")
        if len(self._buffer) < 4 + size:
            return None
        body = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        message = json.loads(body)
        if not isinstance(message, dict):
            raise ValueError("message is not an object")
        return message

    def close_descriptors(self) -> None:
        """Close descriptors that nobody took."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()


def receive(sock: socket.socket) -> Message | None:
    """Wait for one message on a blocking socket; None at the end of the stream."""
    message, descriptors = receive_with_descriptors(sock)
    for descriptor in descriptors:
        os.close(descriptor)
    return message


def receive_with_descriptors(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """The same, with the descriptors that came along; they are the caller's to close."""
    reader = Reader()
    while (message := reader.take()) is None:
        if not reader.read(sock):
            reader.close_descriptors()
            return None, []
    return message, reader.descriptors
