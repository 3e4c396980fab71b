"""Frames of WebSockets, and the relay between one and a plain stream."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_agent.api.errors import AgentError
from atoll_agent.server import websocket
from atoll_agent.server.http import Body, Reader, Request

MASK = b"\x01\x02\x03\x04"


def masked(kind: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as a client sends it."""
    plain = websocket.format_frame(kind, payload)
    head = len(plain) - len(payload)
    body = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes((plain[0] if final else plain[0] & 0x7F, plain[1] | 0x80)) + plain[2:head] + MASK + body


@given(st.binary(max_size=70_000), st.integers(1, 5000))
def test_a_message_comes_whole_however_it_is_cut(payload: bytes, size: int) -> None:
    reader = websocket.FrameReader()
    data = masked(websocket.BINARY, payload)
    found = []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (frame := reader.take()) is not None:
            found.append(frame)
    assert found == [(websocket.BINARY, payload)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", websocket.PROTOCOL_ERROR),  # not masked
        (b"\xc1\x81\0\0\0\0a", websocket.PROTOCOL_ERROR),  # a reserved bit
        (b"\x09\x80\0\0\0\0", websocket.PROTOCOL_ERROR),  # a ping in parts
        (b"\x89\xfe\x00\x7e\0\0\0\0", websocket.PROTOCOL_ERROR),  # a long ping
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big"), websocket.TOO_BIG),
    ],
)
def test_broken_frames(data: bytes, code: int) -> None:
    reader = websocket.FrameReader(data)
    with pytest.raises(websocket.ProtocolError) as caught:
        reader.take()
    assert caught.value.code == code


def request_with(**headers: str) -> Request:
    ours, _theirs = socket.socketpair()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with ours, _theirs:
        return Request("GET", "/", {}, named, Body(Reader(ours), {}))


def test_the_handshake_of_the_rfc() -> None:
    asked = request_with(upgrade="websocket", sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==", sec_websocket_version="13")
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in websocket.accept_headers(asked)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"upgrade": "websocket", "sec_websocket_key": "c2hvcnQ=", "sec_websocket_version": "13"},
        {"upgrade": "tcp", "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==", "sec_websocket_version": "13"},
        {"upgrade": "websocket", "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==", "sec_websocket_version": "8"},
    ],
)
def test_what_is_no_handshake(headers: dict[str, str]) -> None:
    with pytest.raises(AgentError):
        websocket.accept_headers(request_with(**headers))


def test_the_relay_answers_pings_passes_data_and_says_goodbye() -> None:
    client, client_end = socket.socketpair()
    stream, stream_end = socket.socketpair()
    with client, client_end, stream, stream_end:
        thread = threading.Thread(target=websocket.relay, args=(client_end, stream, masked(websocket.TEXT, b"head ")))
        thread.start()
        client.sendall(masked(websocket.PING, b"x") + masked(websocket.BINARY, b"a", final=False) + masked(0, b"b"))
        assert client.recv(3) == websocket.format_frame(websocket.PONG, b"x")
        got = b""
        while len(got) < 7:
            got += stream_end.recv(7)
        assert got == b"head ab"
        stream_end.sendall(b"answer")
        assert client.recv(100) == websocket.format_frame(websocket.BINARY, b"answer")
        stream_end.close()
        assert client.recv(100) == websocket.format_frame(websocket.CLOSE, b"\x03\xe8")
        thread.join(10)
        assert not thread.is_alive()
