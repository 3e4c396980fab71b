"""The supervisor's connections with the agent, and the news of children that ended."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket

from .loop import READ, WRITE
from .messages import Message, Reader, encode
from .supervisor import Supervisor

SOCKET_BACKLOG = 128


class Connection:
    """One connection of the agent."""

    def __init__(self, sock: socket.socket, supervisor: Supervisor) -> None:
        self._sock, self._supervisor, self._loop = sock, supervisor, supervisor.loop
        self._reader = Reader()
        self._queue = bytearray()
        sock.setblocking(False)
        self._loop.watch(sock.fileno(), READ, self._on_event)

    def _on_event(self, events: int) -> None:
        try:
            if self._queue:
                self._flush()
            if not events & READ:
                return
            open_ = self._reader.read(self._sock)
            while (message := self._reader.take()) is not None:
                self._supervisor.handle(self, message, self._reader.descriptors)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            open_ = False
        if not open_:
            self.close()

    def send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        """Queue a message; a connection that is gone is no error.

        Arguments:
            descriptors: sent with its first byte; only on a connection that has nothing else queued.
        """
        if self._sock.fileno() < 0:
            return
        data = encode(message)
        if descriptors and not self._queue:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                data = data[self._sock.sendmsg([data], rights) :]
            except OSError:
                self.close()
                return
        self._queue += data
        self._flush()

    def _flush(self) -> None:
        try:
            del self._queue[: self._sock.send(self._queue)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.watch(self._sock.fileno(), READ | (WRITE if self._queue else 0), self._on_event)

    def close(self) -> None:
        """Close the connection and what came over it unclaimed."""
        self._reader.close_descriptors()
        if self._sock.fileno() >= 0:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._supervisor.drop_watcher(self)


def listen(path: str, supervisor: Supervisor) -> socket.socket:
    """Listen for the agent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        server.bind(path)
    finally:
        os.umask(previous)
    server.listen(SOCKET_BACKLOG)
    server.setblocking(False)

    def accept(events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = server.accept()
            Connection(sock, supervisor)

    supervisor.loop.watch(server.fileno(), READ, accept)
    return server


def watch_children(supervisor: Supervisor) -> None:
    """Reap every child from the loop, by the wake-up descriptor of SIGCHLD."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def reap(events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(read, 4096):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            supervisor.child_ended(pid, status)

    supervisor.loop.watch(read, READ, reap)
