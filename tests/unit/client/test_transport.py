"""HTTP on a stream: a fake engine at the other end of a socket pair says exactly what the test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.client.engine import Engine
from atoll.client.streams import SocketStream
from atoll.client.transport import Connection, format_query, parse_json, quote
from atoll.errors import AgentUnreachable, ApiError, OutcomeUnknown, ProtocolError


class Script:
    """The engine's side: reads a request, then plays an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.requests: list[bytes] = []

    def read_request(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                wanted = int(line.split(b":")[1])
                while len(body) < wanted:
                    body += self.sock.recv(65536)
            if line.lower() == b"transfer-encoding: chunked":
                while not body.endswith(b"0\r\n\r\n"):
                    body += self.sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextmanager
def engine_saying(play: Callable[[Script], None]) -> Iterator[tuple[Connection, Script]]:
    """A connection whose other end runs `play` in a thread."""
    ours, theirs = socket.socketpair()
    script = Script(theirs)
    thread = threading.Thread(target=play, args=(script,))
    thread.start()
    try:
        yield Connection(SocketStream(ours)), script
    finally:
        ours.close()
        thread.join(10)
        theirs.close()
        assert not thread.is_alive()


def answers(*raw: bytes) -> Callable[[Script], None]:
    """One request per answer; the answer is sent byte by byte where it is short, to catch wrong assumptions."""

    def play(script: Script) -> None:
        for data in raw:
            script.read_request()
            for i in range(len(data)):
                script.sock.sendall(data[i : i + 1])

    return play


def test_answer_with_length_and_reuse_of_the_connection() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with engine_saying(answers(ok, b"HTTP/1.1 204 No Content\r\n\r\n", ok)) as (connection, script):
        for _ in range(3):
            connection.send("GET", "/x")
            response = connection.receive()
            assert response.reusable
            assert response.read() in (b"{}", b"")
            assert response.finished
    assert script.requests[0].startswith(b"GET /x HTTP/1.1\r\nHost: ")


def test_chunked_answer() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n1\r\ne\r\n0\r\nTrailer: 1\r\n\r\n"
    with engine_saying(answers(raw)) as (connection, _):
        connection.send("GET", "/")
        response = connection.receive()
        assert response.read() == b"abcde"
        assert response.reusable


def test_answer_without_length_ends_with_the_connection() -> None:
    def play(script: Script) -> None:
        script.read_request()
        script.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        script.sock.shutdown(socket.SHUT_WR)

    with engine_saying(play) as (connection, _):
        connection.send("GET", "/")
        response = connection.receive()
        assert not response.reusable
        assert response.read() == b"all of it"


def test_json_lines_come_as_soon_as_they_are_complete() -> None:
    second_wanted = threading.Event()

    def play(script: Script) -> None:
        script.read_request()
        script.sock.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{"a": 1}\n{\r\n')
        assert second_wanted.wait(10)
        script.sock.sendall(b'8\r\n"a": 2}\n\r\n0\r\n\r\n')

    with engine_saying(play) as (connection, _):
        connection.send("GET", "/events")
        lines = connection.receive().json_lines()
        assert next(lines) == {"a": 1}
        second_wanted.set()
        assert list(lines) == [{"a": 2}]


def test_upgrade_hands_over_what_came_along_and_half_closes() -> None:
    def play(script: Script) -> None:
        assert b"Upgrade: tcp" in script.read_request()
        script.sock.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
        received = b""
        while data := script.sock.recv(100):
            received += data
        script.sock.sendall(b" got " + received)
        script.sock.shutdown(socket.SHUT_WR)

    with engine_saying(play) as (connection, _):
        connection.send("POST", "/attach", headers={"Connection": "Upgrade", "Upgrade": "tcp"})
        assert connection.receive().status == 101
        raw = connection.take_over()
        raw.sendall(b"input")
        raw.shutdown_write()
        text = b""
        while data := raw.recv():
            text += data
    assert text == b"early got input"


def test_lost_answer_to_a_command_is_told_from_one_to_a_question() -> None:
    def play(script: Script) -> None:
        script.read_request()
        script.sock.close()

    with engine_saying(play) as (connection, _), pytest.raises(OutcomeUnknown):
        connection.send("POST", "/containers/x/start")
        connection.receive()
    with engine_saying(play) as (connection, _), pytest.raises(AgentUnreachable):
        connection.send("GET", "/containers/json")
        connection.receive()


def test_cut_body_is_an_error() -> None:
    def play(script: Script) -> None:
        script.read_request()
        script.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        script.sock.close()

    with engine_saying(play) as (connection, _):
        connection.send("POST", "/")
        response = connection.receive()
        with pytest.raises(OutcomeUnknown):
            response.read()


def test_refusal_before_the_body_was_read_is_what_the_caller_hears() -> None:
    def play(script: Script) -> None:
        script.sock.recv(1000)
        script.sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        script.sock.shutdown(socket.SHUT_RD)

    def parts() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 65536

    with engine_saying(play) as (connection, _):
        connection.send("POST", "/images/load", parts())
        assert connection.receive().status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
    ],
)
def test_answer_that_is_not_http(raw: bytes) -> None:
    with engine_saying(answers(raw)) as (connection, _), pytest.raises(ProtocolError):
        connection.send("POST", "/")
        connection.receive()


def test_malformed_chunk() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with engine_saying(answers(raw)) as (connection, _):
        connection.send("GET", "/")
        with pytest.raises(ProtocolError):
            connection.receive().read()


def test_json_that_is_none() -> None:
    assert parse_json(b" \n") is None
    with pytest.raises(ProtocolError):
        parse_json(b"<html>")


@given(st.text())
def test_quote_agrees_with_the_standard_library(text: str) -> None:
    from urllib.parse import unquote

    clean = text.encode("utf-8", "replace").decode()
    assert unquote(quote(clean)) == clean
    assert quote(clean).isascii()


def test_query() -> None:
    assert format_query({"a": None}) == ""
    assert format_query({"a": "b c", "t": True, "f": False, "n": 3, "none": None}) == "?a=b%20c&t=1&f=0&n=3"


class Listener:
    """An engine on loopback TCP that gives each connection to a function."""

    def __init__(self, serve: Callable[[Script], None]) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.kind, self.token = "tcp", "secret"
        self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"
        self.connections = 0
        self.closed = threading.Semaphore(0)
        """Counts the connections that have been closed."""
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                assert connection.recv(len(self.token) + 1) == f"{self.token}\n".encode()
                self._serve(Script(connection))
            self.closed.release()

    def close(self) -> None:
        self._sock.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_engine_keeps_a_connection_and_replaces_one_that_was_closed() -> None:
    def serve_two(script: Script) -> None:
        for _ in range(2):
            script.read_request()
            script.sock.sendall(OK)

    listener = Listener(serve_two)
    try:
        with Engine(listener) as engine:
            for _ in range(2):
                assert engine.call("GET", "/info") == {}
                assert engine.call("GET", "/info") == {}
                assert listener.closed.acquire(timeout=10)
    finally:
        listener.close()
    assert listener.connections == 2


def test_engine_tells_a_refusal() -> None:
    body = b'{"message":"no such container: x"}'

    def answer(script: Script) -> None:
        script.read_request()
        script.sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    listener = Listener(answer)
    try:
        with Engine(listener) as engine, pytest.raises(ApiError) as caught:
            engine.containers.start("x")
    finally:
        listener.close()
    assert caught.value.status == 404
    assert caught.value.message == "no such container: x"


def test_nobody_listens() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    sock.close()
    listener = Listener(lambda script: None)
    listener.close()
    listener.address = address
    with pytest.raises(AgentUnreachable):
        Engine(listener).call("POST", "/containers/x/start")
