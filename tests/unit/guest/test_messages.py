"""What agent and supervisor say to each other: messages cut anywhere, with descriptors on top."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("descriptors travel between processes on Linux", allow_module_level=True)

from atoll_agent.runtime import messages
from atoll_agent.runtime.messages import MAX_MESSAGE, Message, Reader, encode, receive, send

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.dictionaries(st.text(max_size=5), JSON, max_size=3)


class Wire:
    """Delivers bytes in pieces."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = data, piece

    def recvmsg(self, size: int, *_: Any) -> tuple[bytes, list[Any], int, None]:
        data, self._data = self._data[: self._piece], self._data[self._piece :]
        return data, [], 0, None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    before = set(Path("/proc/self/fd").iterdir())
    with_each = socket.socketpair()
    yield with_each
    for sock in with_each:
        sock.close()
    assert set(Path("/proc/self/fd").iterdir()) == before, "a descriptor was left open"


@given(st.lists(MESSAGES, max_size=6), st.integers(1, 40))
def test_messages_however_they_are_cut(sent: list[Message], piece: int) -> None:
    reader, wire = Reader(), Wire(b"".join(map(encode, sent)), piece)
    got = []
    while reader.read(wire):  # type: ignore[arg-type]
        while (message := reader.take()) is not None:
            got.append(message)
    assert got == sent


def test_descriptors_come_with_their_message(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    read_end, write_end = os.pipe()
    send(ours, {"op": "attach"}, (write_end, read_end))
    os.close(write_end)
    os.close(read_end)
    reader = Reader()
    assert reader.read(theirs)
    assert reader.take() == {"op": "attach"}
    assert len(reader.descriptors) == 2
    os.write(reader.descriptors[0], b"through")
    assert os.read(reader.descriptors[1], 10) == b"through"
    assert not os.get_inheritable(reader.descriptors[0])
    reader.close_descriptors()
    assert reader.descriptors == []


def test_the_end_of_the_stream(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(encode({"a": 1}) + encode({"b": 2})[:5])
    ours.shutdown(socket.SHUT_WR)
    assert receive(theirs) == {"a": 1}
    assert receive(theirs) is None


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b"{", b"", b"\xff"])
def test_what_is_no_message_is_a_value_error(body: bytes) -> None:
    reader = Reader()
    reader.read(Wire(len(body).to_bytes(4, "big") + body, 100))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        reader.take()


def test_a_message_without_bound_is_refused_before_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    reader.read(Wire((MAX_MESSAGE + 1).to_bytes(4, "big"), 100))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=str(MAX_MESSAGE + 1)):
        reader.take()
    monkeypatch.setattr(messages, "MAX_MESSAGE", 2)
    reader = Reader()
    reader.read(Wire(encode({}), 100))  # type: ignore[arg-type]
    assert reader.take() == {}
