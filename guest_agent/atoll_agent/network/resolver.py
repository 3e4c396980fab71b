"""Answering containers' name queries on the sockets that their namespaces hold (`runtime.resolver_socket`).

One thread and one selector for all datagrams; a connection gets a thread of its own, since it is rare. What is not a
container's name goes to the machine's own name servers, or nowhere for a container that has no way out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from . import dns

log = logging.getLogger(__name__)
PORT = 53
TIMEOUT_S = 5.0
TRY_NEXT_S = 2.0
MAX_PENDING = 1024
MAX_CONNECTIONS = 64
MAX_MESSAGE = 65535


class Directory(Protocol):
    """Who knows containers' names. Called with the id of the container that asks."""

    def addresses(self, asker: str, name: str) -> list[str] | None:
        """Addresses of a name; None when no container has it."""

    def name(self, asker: str, address: str) -> str | None:
        """Name of the container with an address; None when there is none."""

    def servers(self, asker: str) -> list[str]:
        """Name servers for everything else; none for a container that has no way out."""


@dataclass
class _Pending:
    """A query that was passed on."""

    data: bytes
    reply: Callable[[bytes], None]
    servers: list[str]
    sock: socket.socket
    deadline: float


class Resolver:
    """All containers' resolvers. Thread-safe."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._pending: dict[int, _Pending] = {}
        self._connections = threading.Semaphore(MAX_CONNECTIONS)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        self._thread: threading.Thread | None = None
        self._changes: list[Callable[[], None]] = []

    # -- the engine's side -------------------------------------------------------------------

    def add(self, container: str, descriptors: list[int]) -> None:
        """Answer on a container's sockets: its datagrams and its connections."""
        if len(descriptors) != 2:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        datagrams, streams = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        for sock in (datagrams, streams):
            sock.setblocking(False)

        def change() -> None:
            self._close(container)
            self._sockets[container] = [datagrams, streams]
            self._selector.register(datagrams, selectors.EVENT_READ, lambda: self._on_datagram(container, datagrams))
            self._selector.register(streams, selectors.EVENT_READ, lambda: self._on_connection(container, streams))

        self._later(change)

    def remove(self, container: str) -> None:
        """The container has ended."""
        self._later(lambda: self._close(container))

    def _later(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._changes.append(change)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)
                self._thread.start()
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    # -- the loop ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._next_deadline()):
                try:
                    key.data()
                except OSError as error:
                    log.warning("resolver: %s", error)
                except Exception:
                    log.exception("resolver")
            self._expire()

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        with self._lock:
            changes, self._changes = self._changes, []
        for change in changes:
            change()

    def _close(self, container: str) -> None:
        for sock in self._sockets.pop(container, []):
            self._selector.unregister(sock)
            sock.close()

    def _on_datagram(self, container: str, sock: socket.socket) -> None:
        data, asker = sock.recvfrom(MAX_MESSAGE)

        def reply(answer: bytes) -> None:
            with contextlib.suppress(OSError):  # it has gone, or its buffer is full: it will ask again
                sock.sendto(answer, asker)

        answer = self._answer_here(container, data, by_datagram=True)
        if answer is not None:
            reply(answer)
            return
        servers = self._directory.servers(container)
        if not servers or len(self._pending) >= MAX_PENDING:
            reply(dns.fail(data, dns.SERVER_FAILURE))
            return
        self._pass_on(data, reply, servers)

    def _answer_here(self, container: str, data: bytes, *, by_datagram: bool) -> bytes | None:
        """The answer to a query about a container; None for one about anything else."""
        try:
            query = dns.parse_query(data)
        except dns.Malformed:
            return dns.fail(data, dns.FORMAT_ERROR)
        answer = None
        if query.kind == dns.PTR:
            address = dns.reverse_address(query.name)
            name = self._directory.name(container, address) if address else None
            answer = dns.answer_name(query, name) if name else None
        else:
            addresses = self._directory.addresses(container, query.name)
            answer = None if addresses is None else dns.answer_addresses(query, addresses)
        return dns.fit(answer, query) if answer and by_datagram else answer

    # -- passing on --------------------------------------------------------------------------

    def _pass_on(self, data: bytes, reply: Callable[[bytes], None], servers: list[str]) -> None:
        """Ask the first of the servers that can be asked; the others are kept for when it does not answer."""
        while servers:
            server, servers = servers[0], servers[1:]
            sock = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            try:
                sock.connect((server, PORT))  # from now on the kernel drops what others send
                sock.send(data)
            except OSError:
                sock.close()
                continue
            wait_s = TRY_NEXT_S if servers else TIMEOUT_S
            pending = _Pending(data, reply, servers, sock, time.monotonic() + wait_s)
            self._pending[sock.fileno()] = pending
            self._selector.register(sock, selectors.EVENT_READ, partial(self._on_answer, pending))
            return
        reply(dns.fail(data, dns.SERVER_FAILURE))

    def _on_answer(self, pending: _Pending) -> None:
        try:
            answer = pending.sock.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            self._drop(pending)
            self._pass_on(pending.data, pending.reply, pending.servers)
            return
        if answer[:2] == pending.data[:2]:
            self._drop(pending)
            pending.reply(answer)

    def _drop(self, pending: _Pending) -> None:
        self._pending.pop(pending.sock.fileno(), None)
        self._selector.unregister(pending.sock)
        pending.sock.close()

    def _next_deadline(self) -> float | None:
        if not self._pending:
            return None
        return max(0.0, min(pending.deadline for pending in self._pending.values()) - time.monotonic())

    def _expire(self) -> None:
        now = time.monotonic()
        for pending in [p for p in self._pending.values() if p.deadline <= now]:
            self._drop(pending)
            self._pass_on(pending.data, pending.reply, pending.servers)

    # -- connections -------------------------------------------------------------------------

    def _on_connection(self, container: str, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        if not self._connections.acquire(blocking=False):
            sock.close()
            return
        threading.Thread(target=self._serve_connection, args=(container, sock), daemon=True).start()

    def _serve_connection(self, container: str, sock: socket.socket) -> None:
        try:
            with sock:
                sock.settimeout(TIMEOUT_S)
                while data := _receive_framed(sock):
                    answer = self._answer_here(container, data, by_datagram=False)
                    if answer is None:
                        answer = _ask_by_stream(data, self._directory.servers(container))
                    sock.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            pass  # the asker's loss
        finally:
            self._connections.release()


def _receive_framed(sock: socket.socket) -> bytes:
    """One message with its length before it; b"" at the end."""
    head = _receive_exactly(sock, 2)
    return _receive_exactly(sock, int.from_bytes(head, "big")) if head else b""


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _ask_by_stream(data: bytes, servers: list[str]) -> bytes:
    for server in servers:
        try:
            with socket.create_connection((server, PORT), timeout=TIMEOUT_S) as sock:
                sock.sendall(len(data).to_bytes(2, "big") + data)
                if answer := _receive_framed(sock):
                    return answer
        except OSError:
            continue
    return dns.fail(data, dns.SERVER_FAILURE)
