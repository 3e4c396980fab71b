"""Published ports of the native driver: listeners on this host that pass everything on to the container.

Packets from other computers and from containers are redirected by the firewall and never come here; what does is
loopback's, which crosses no interface. The listener also keeps the port from everybody else.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ..runtime.relay import join_streams
from .publish import PortTaken

BACKLOG = 128
CHUNK = 64 * 1024
UDP_IDLE_S = 90.0
MAX_PEERS = 256
SOCKETS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@dataclass
class _Listener:
    sockets: list[socket.socket]
    peers: dict[Any, tuple[socket.socket, float]] = field(default_factory=dict)


class Proxy:
    """Listeners of this host. Thread-safe; see `publish.Publisher`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[tuple[str, str, int], _Listener] = {}

    def open(self, protocol: str, address: str, port: int, target: str, target_port: int) -> int:
        """Listen; SCTP is left to the firewall alone."""
        if protocol not in SOCKETS:
            return port or target_port
        sockets: list[socket.socket] = []
        try:
            for place in [address] if address else ["0.0.0.0", "::"]:
                sockets += _listen(protocol, place, port, optional=bool(sockets))
                port = sockets[0].getsockname()[1]
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise PortTaken(error.strerror or str(error)) from error
        listener = _Listener(sockets)
        with self._lock:
            self._listeners[protocol, address, port] = listener
        for sock in sockets:
            serve = _serve_stream if protocol == "tcp" else _serve_datagrams
            threading.Thread(
                target=serve, args=(sock, (target, target_port), listener), name=f"port {port}", daemon=True
            ).start()
        return port

    def keep(self, protocol: str, address: str, port: int, target: str, target_port: int) -> None:
        """Listen where an agent before this one did; its listeners went with it."""
        self.open(protocol, address, port, target, target_port)

    def close(self, protocol: str, address: str, port: int) -> None:
        """Listen no more; connections that stand go on."""
        with self._lock:
            listener = self._listeners.pop((protocol, address, port), None)
        for sock in listener.sockets if listener else ():
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
            sock.close()


def _listen(protocol: str, address: str, port: int, *, optional: bool) -> list[socket.socket]:
    """One listening socket; none where IPv6 is only wanted besides and this host has none."""
    version6 = ":" in address
    try:
        sock = socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, SOCKETS[protocol])
    except OSError:
        if optional:
            return []
        raise
    try:
        if version6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if protocol == "tcp":
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if optional and error.errno == errno.EADDRNOTAVAIL:
            return []
        raise
    return [sock]


def _serve_stream(sock: socket.socket, target: tuple[str, int], _listener: _Listener) -> None:
    while True:
        try:
            client, _ = sock.accept()
        except OSError:
            return
        threading.Thread(target=join_streams, args=(client, target), daemon=True).start()


def _serve_datagrams(sock: socket.socket, target: tuple[str, int], listener: _Listener) -> None:
    """Each peer gets a socket of its own, so that answers find their way back."""
    while True:
        try:
            data, peer = sock.recvfrom(CHUNK)
        except ConnectionError:
            continue
        except OSError:
            break
        try:
            _way_of(sock, peer, target, listener).send(data)
        except OSError:
            continue  # datagrams may be lost
    for way, _ in listener.peers.values():
        way.close()


def _way_of(sock: socket.socket, peer: Any, target: tuple[str, int], listener: _Listener) -> socket.socket:
    now = time.monotonic()
    if peer in listener.peers:
        way, _ = listener.peers[peer]
        listener.peers[peer] = (way, now)
        return way
    if len(listener.peers) >= MAX_PEERS:
        for old, (way, used) in list(listener.peers.items()):
            if now - used > UDP_IDLE_S or len(listener.peers) >= MAX_PEERS:
                del listener.peers[old]
                with contextlib.suppress(OSError):
                    way.shutdown(socket.SHUT_RDWR)
                way.close()
    way = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)
    way.connect(target)
    listener.peers[peer] = (way, now)
    threading.Thread(target=_answer, args=(way, sock, peer), daemon=True).start()
    return way


def _answer(way: socket.socket, sock: socket.socket, peer: Any) -> None:
    while True:
        try:
            data = way.recv(CHUNK)
            if not data and way.fileno() < 0:
                return
            sock.sendto(data, peer)
        except ConnectionError:
            continue
        except OSError:
            return
