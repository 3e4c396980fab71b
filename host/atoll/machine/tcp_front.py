"""The API on a TCP port, plain or with TLS, for those who asked for it: each connection is joined to the machine's own.

Threads and not the keeper's loop: asyncio's TLS ends a connection when the client has no more to send, and a
container's output must go on after its stdin has ended. Here TLS is worked in memory (`ssl.MemoryBIO`), so the end of
one direction (RFC 8446, section 6.1) leaves the other alone.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading

from ..client.streams import SocketStream, open_stream
from ..client.types import Endpoint, Stream

log = logging.getLogger(__name__)
CHUNK = 64 * 1024
BACKLOG = 128
MAX_CONNECTIONS = 256
HANDSHAKE_S = 10.0


class TlsStream:
    """The server's side of TLS on a connected socket; one thread reads, another may write."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock, self._lock = sock, threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake_hands(self) -> None:
        """Agree on keys.

        Raises:
            OSError: the client has not the right certificate, or is none.
        """
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._send_out()
                self._take_in()
            except ssl.SSLError:
                self._send_out()  # the alert that tells the client why
                raise
        self._send_out()

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; b"" when the client has no more to send."""
        while True:
            with self._lock:
                try:
                    return self._tls.read(size)
                except ssl.SSLZeroReturnError:
                    return b""
                except ssl.SSLWantReadError:
                    self._send_out()
            self._take_in()

    def sendall(self, data: bytes) -> None:
        """Send all of the bytes."""
        with self._lock:
            self._tls.write(data)
            self._send_out()

    def shutdown_write(self) -> None:
        """Say that nothing more will be sent."""
        with self._lock, contextlib.suppress(ssl.SSLError, OSError):
            try:
                self._tls.unwrap()
            finally:
                self._send_out()

    def close(self) -> None:
        """Close both directions."""
        SocketStream(self._sock).close()

    def _send_out(self) -> None:
        if data := self._outgoing.read():
            self._sock.sendall(data)

    def _take_in(self) -> None:
        data = self._sock.recv(CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


class TcpFront:
    """A listening port.

    Arguments:
        endpoint: of the machine's API.
        host: address to listen on.
        port: 0 for a free one.
        context: for TLS; None for none.

    Raises:
        OSError: the port is taken, or no address of this computer's.
    """

    def __init__(self, endpoint: Endpoint, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._endpoint, self._context = endpoint, context
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port = int(self._sock.getsockname()[1])
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        threading.Thread(target=self._accept, name="tcp", daemon=True).start()

    def close(self) -> None:
        """Listen no more; connections that are open go on."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes the thread; some systems refuse, and wake it at the close
        self._sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            if not self._free.acquire(blocking=False):
                log.warning("more than %d connections over TCP; one was closed", MAX_CONNECTIONS)
                sock.close()
                continue
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = self._greet(sock)
            join(client, open_stream(self._endpoint))
        except OSError as error:  # ssl.SSLError is one
            log.info("a connection over TCP: %s", error)
            sock.close()
        finally:
            self._free.release()

    def _greet(self, sock: socket.socket) -> SocketStream | TlsStream:
        if self._context is None:
            return SocketStream(sock)
        sock.settimeout(HANDSHAKE_S)
        tls = TlsStream(sock, self._context)
        tls.shake_hands()
        sock.settimeout(None)
        return tls


def join(client: SocketStream | TlsStream, engine: Stream) -> None:
    """Carry bytes both ways until the engine has no more to say; then both are closed."""

    def forward() -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                engine.sendall(data)
            engine.shutdown_write()
            return
        engine.close()  # the client is lost: nobody reads what would come

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        with contextlib.suppress(OSError):
            while data := engine.recv(CHUNK):
                client.sendall(data)
            client.shutdown_write()
    finally:
        client.close()
        engine.close()
        thread.join()
