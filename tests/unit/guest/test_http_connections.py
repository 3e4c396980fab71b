"""Conversations on one connection: several requests, refusals, upgrades, and how each of them ends."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from atoll_agent.server.http import Connection, Request, serve_connection

END = b"\r\n\r\n"


def converse(sent: bytes, answer: Any) -> bytes:
    """Everything a client gets that sends this and then only listens."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve_connection, args=(theirs, answer))
    thread.start()
    with ours:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: ours.recv(65536), b""))
    thread.join(10)
    assert not thread.is_alive()
    return received


def echo(request: Request, connection: Connection) -> None:
    connection.send(request.path.encode() + b":" + request.body.read())


def test_requests_in_one_breath_are_answered_in_order_after_the_client_has_closed_its_side() -> None:
    sent = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nxyGET /b HTTP/1.1" + END
    received = converse(sent, echo)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"/a:xy") < received.index(b"/b:")


@pytest.mark.parametrize("head", [b"GET /a HTTP/1.0", b"GET /a HTTP/1.1\r\nConnection: Close"])
def test_a_connection_that_shall_close_does(head: bytes) -> None:
    received = converse(head + END + b"GET /b HTTP/1.1" + END, echo)
    assert b"/a:" in received
    assert b"Connection: close" in received
    assert b"/b:" not in received


def test_an_unread_body_is_not_taken_for_a_request() -> None:
    body = b"GET /smuggled HTTP/1.1" + END
    received = converse(
        b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
        lambda request, connection: connection.send(request.path.encode()),
    )
    assert received.endswith(b"/a")


@pytest.mark.parametrize("sent", [b"nonsense" + END, b"GET /?" + b"a=b&" * 1000 + b" HTTP/1.1" + END])
def test_a_refused_request_gets_its_reason_and_the_end(sent: bytes) -> None:
    received = converse(sent + b"GET /b HTTP/1.1" + END, echo)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"message":"' in received
    assert received.count(b"HTTP/1.1") == 1


def test_a_raw_stream_begins_behind_the_request_and_its_body() -> None:
    def upgrade(request: Request, connection: Connection) -> None:
        connection.start_raw(request, "application/vnd.docker.raw-stream")
        connection.sock.sendall(b"rest=" + connection.take_rest())

    head = b"POST /attach HTTP/1.1\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}typed"
    received = converse(head, upgrade)
    assert received.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
    assert b"Upgrade: tcp\r\n" in received
    assert received.endswith(b"\r\n\r\nrest=typed")


def test_an_answer_of_unknown_length() -> None:
    def stream(request: Request, connection: Connection) -> None:
        connection.start_stream()
        connection.write(b"")
        connection.write_json({"a": 1})
        connection.end_stream()

    received = converse(b"GET / HTTP/1.1" + END, stream)
    assert received.endswith(b'\r\n\r\n8\r\n{"a":1}\n\r\n0\r\n\r\n')
