"""Listening for clients: a thread for each connection, from unix sockets or handed in by the machine's channel."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path

from .http import serve_connection
from .router import Router

log = logging.getLogger(__name__)
STACK_BYTES = 512 * 1024
MAX_CONNECTIONS = 1024
BACKLOG = 128


def listen_unix(path: Path, mode: int = 0o660) -> socket.socket:
    """A unix socket that listens; its name appears when connections are queued, whoever accepts them later."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(beside))
    beside.chmod(mode)
    listener.listen(BACKLOG)
    beside.rename(path)
    return listener


class Server:
    """Serves one router on any number of sockets."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._count = threading.BoundedSemaphore(MAX_CONNECTIONS)
        threading.stack_size(STACK_BYTES)

    def serve(self, sock: socket.socket) -> None:
        """Serve a connection in a thread of its own; closes it at the end."""
        if not self._count.acquire(blocking=False):
            log.warning("more than %d connections; one was closed", MAX_CONNECTIONS)
            sock.close()
            return
        try:
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()
        except RuntimeError:
            self._count.release()
            sock.close()

    def _run(self, sock: socket.socket) -> None:
        try:
            serve_connection(sock, self._router.answer)
        finally:
            self._count.release()

    def serve_listener(self, listener: socket.socket) -> None:
        """Accept connections in a thread."""
        threading.Thread(target=self._accept, args=(listener,), daemon=True, name="listen").start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError as error:
                log.error("accept: %s", error)
                return
            self.serve(sock)
