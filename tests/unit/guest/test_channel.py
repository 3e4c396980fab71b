"""The machine's end of the wire, with a socket pair for the port."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

if sys.platform != "linux":
    pytest.skip("the agent runs on Linux", allow_module_level=True)

from atoll_agent.api.mux import HEADER, NONCE_SIZE, Closed, Data, Eof, Multiplexer, MuxError, Ready, Writable
from atoll_agent.server.channel import Channel
from atoll_agent.server.services import Services

Service = Callable[[socket.socket], None]


def run_to_error(channel: Channel) -> None:
    """Pump until the other end says what nobody may: nothing else ends a session but the machine's own end."""
    with suppress(MuxError):
        channel.run()


class Host:
    """The host's end."""

    def __init__(self, port: socket.socket) -> None:
        self.port = port
        self.port.settimeout(30)
        self.mux = Multiplexer(host=True)

    def flush(self) -> None:
        """Send what is to be sent, in one piece."""
        self.port.sendall(self.mux.outgoing())

    def events_until(self, last: type) -> list[object]:
        """What the machine says, up to a kind of event."""
        found: list[object] = []
        while not any(isinstance(event, last) for event in found):
            data = self.port.recv(65536)
            assert data, found
            found += self.mux.feed(data)
        return found


@pytest.fixture
def connect() -> Iterator[Callable[[Service], Host]]:
    """Starts a channel whose `api` streams are a function's; gives the host's end."""
    opened: list[tuple[socket.socket, threading.Thread]] = []

    def start(service: Service) -> Host:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        services = Services(SimpleNamespace(serve=service), lambda sock: sock.close())  # type: ignore[arg-type]
        channel = Channel(theirs.detach(), services)
        thread = threading.Thread(target=run_to_error, args=(channel,))
        thread.start()
        opened.append((ours, thread))
        host = Host(ours)
        host.mux.start(os.urandom(NONCE_SIZE))
        host.flush()
        host.events_until(Ready)
        return host

    yield start
    for port, thread in opened:
        port.sendall(b"\xff" * HEADER.size)
        thread.join(30)
        port.close()


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("eof", [False, True])
def test_answer_of_a_service_that_does_not_read_arrives(
    connect: Callable[[Service], Host], size: int, eof: bool
) -> None:
    """A refusal before the request's body has been read: found with an image that did not fit on the disk."""

    def refuse(sock: socket.socket) -> None:
        sock.sendall(b"no")
        sock.close()

    host = connect(refuse)
    stream = host.mux.open("api")
    assert host.mux.send(stream, bytes(size)) == size
    if eof:
        host.mux.send_eof(stream)
    host.flush()
    events = host.events_until(Closed)
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"no"
    assert [type(event) for event in events if isinstance(event, Eof | Closed)][-1] is Closed


def test_a_service_that_has_said_all_still_listens(connect: Callable[[Service], Host]) -> None:
    """A server that ends its side first, and takes a long upload after that."""
    taken: list[int] = []
    finished = threading.Event()

    def listen(sock: socket.socket) -> None:
        def work() -> None:
            with sock:
                sock.sendall(b"go on")
                sock.shutdown(socket.SHUT_WR)
                taken.append(0)
                while data := sock.recv(65536):
                    taken[0] += len(data)
            finished.set()

        threading.Thread(target=work).start()

    host = connect(listen)
    stream = host.mux.open("api")
    host.flush()
    host.events_until(Eof)
    left = 1_000_000
    while left:
        left -= host.mux.send(stream, bytes(left))
        host.flush()
        if left:
            host.events_until(Writable)
    host.mux.send_eof(stream)
    host.flush()
    host.events_until(Closed)
    assert finished.wait(30)
    assert taken == [1_000_000]


def test_a_service_that_closes_after_it_has_said_all(connect: Callable[[Service], Host]) -> None:
    ended = threading.Event()

    def work(sock: socket.socket) -> None:
        with sock:
            sock.shutdown(socket.SHUT_WR)
            ended.wait(30)

    host = connect(lambda sock: threading.Thread(target=work, args=(sock,)).start())
    host.mux.open("api")
    host.flush()
    host.events_until(Eof)
    ended.set()
    host.events_until(Closed)
