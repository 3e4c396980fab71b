"""Byte streams to an engine: unix socket, loopback TCP, Windows named pipe.

All of them block, can be read and written from two threads at once, and can say "I have no more to send" while they
still read, which is how a container learns of the end of its stdin.
"""

from __future__ import annotations

import contextlib
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .types import Endpoint, Stream

CONNECT_TIMEOUT_S = 10.0


class SocketStream:
    """A unix or TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)

    def shutdown_write(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def is_stale(self) -> bool:
        # An idle HTTP connection has nothing to say: readable means closed (or out of step, which is as bad).
        self._sock.setblocking(False)
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        finally:
            self._sock.setblocking(True)
        return True

    def close(self) -> None:
        # shutdown, not only close: close alone leaves a thread blocked in recv for ever.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def open_stream(endpoint: Endpoint) -> Stream:
    """Connect to an endpoint.

    Raises:
        OSError: nobody listens there.
    """
    if endpoint.kind == "unix":
        return SocketStream(_connect_unix(endpoint.address))
    if endpoint.kind == "tcp":
        return SocketStream(_connect_tcp(endpoint.address, endpoint.token))
    if endpoint.kind == "npipe":
        from .named_pipe import open_pipe

        return open_pipe(endpoint.address)
    raise OSError(f"unknown kind of endpoint: {endpoint.kind}")


def _connect_unix(path: str) -> socket.socket:
    if sys.platform == "win32":
        raise OSError("unix sockets are not available here")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    return _connect(sock, path)


def _connect_tcp(address: str, token: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise OSError(f"not an address: {address}")
    host = host.strip("[]") or "127.0.0.1"
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    # Key strokes and small requests must not wait for each other's acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _connect(sock, (host, int(port)))
    if token:
        # Any user of the computer can connect to loopback; only the machine's owner can read the token.
        sock.sendall(token.encode("ascii") + b"\n")
    return sock


def _connect(sock: socket.socket, address: str | tuple[str, int]) -> socket.socket:
    try:
        sock.settimeout(CONNECT_TIMEOUT_S)
        sock.connect(address)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock
