"""Passing bytes on between sockets: two threads for a pair, and half-close kept."""

from __future__ import annotations

import contextlib
import socket
import threading

CHUNK = 64 * 1024
CONNECT_S = 10.0


def join_streams(client: socket.socket, target: tuple[str, int]) -> None:
    """Join a connection to a new one, both ways, with half-close; closes both."""
    with client:
        try:
            server = socket.create_connection(target, timeout=CONNECT_S)
        except OSError:
            return
        with server:
            server.settimeout(None)
            other = threading.Thread(target=pump, args=(server, client), daemon=True)
            other.start()
            pump(client, server)
            other.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until it ends, then say so."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def join_datagrams(stream: socket.socket, target: tuple[str, int]) -> None:
    """Join a stream of datagrams, each with its length in two bytes before it, to a target; closes the stream."""
    with stream, socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(target)
        except OSError:
            return
        threading.Thread(target=_frame, args=(way, stream), daemon=True).start()
        with contextlib.suppress(OSError), stream.makefile("rb") as frames:
            while len(head := frames.read(2)) == 2:
                data = frames.read(int.from_bytes(head, "big"))
                with contextlib.suppress(ConnectionError):  # a port nobody listens on: datagrams may be lost
                    way.send(data)
        with contextlib.suppress(OSError):
            way.shutdown(socket.SHUT_RDWR)


def _frame(way: socket.socket, stream: socket.socket) -> None:
    while True:
        try:
            data = way.recv(CHUNK)
        except ConnectionError:
            continue
        except OSError:
            return
        if not data and way.fileno() < 0:
            return
        try:
            stream.sendall(len(data).to_bytes(2, "big") + data)
        except OSError:
            return
