"""The machine's channel to the host: `api.mux` over a virtio-serial port, seen by the server as ordinary sockets.

Each stream the host opens becomes one end of a socket pair; the other end is pumped here, by one thread. `api` streams
are served by the API server, `ssh` streams by an SSH daemon started for the connection, `tcp:ADDRESS:PORT` streams are
connected into the machine's network.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import selectors
import socket
import threading
import time
from pathlib import Path

from ..api.mux import Closed, Data, Eof, Multiplexer, MuxError, Opened, Ready, Writable
from ..api.seed import WIRE_PORT
from .services import Services

log = logging.getLogger(__name__)
READ = 64 * 1024
MAX_PENDING = 1 << 20
REOPEN_S = 0.05
HANGUPS = -1


def find_port(name: str, directory: Path = Path("/sys/class/virtio-ports")) -> Path | None:
    """The device node of a virtio-serial port; None where there is none."""
    for port in directory.glob("*"):
        with contextlib.suppress(OSError):
            if (port / "name").read_text().strip() == name:
                return Path("/dev") / port.name
    return None


def serve_port(services: Services) -> None:
    """Serve the machine's wire in a thread.

    Raises:
        OSError: the machine has no such port.
    """
    path = find_port(WIRE_PORT)
    if path is None:
        raise FileNotFoundError(2, "this machine has no virtio-serial port", WIRE_PORT)
    threading.Thread(target=_run, args=(path, services), daemon=True, name="channel").start()


def _run(path: Path, services: Services) -> None:
    while True:
        try:
            port = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            Channel(port, services).run()
        except (OSError, MuxError) as error:
            log.warning("channel: %s; opening it again", error)
        except Exception:
            log.exception("channel")
        time.sleep(REOPEN_S)


class _Stream:
    """Our end of a socket pair, and what could not be written to it yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.pending = bytearray()
        self.eof_pending = False
        self.read_open = self.write_open = True


class Channel:
    """One session of the port."""

    def __init__(self, port: int, services: Services) -> None:
        self._port, self._services = port, services
        self._mux = Multiplexer(host=False)
        self._streams: dict[int, _Stream] = {}
        self._selector = selectors.DefaultSelector()
        self._outgoing = bytearray()
        self._port_mask = selectors.EVENT_READ
        self._selector.register(port, self._port_mask, None)
        self._hangups = select.epoll()
        self._selector.register(self._hangups, selectors.EVENT_READ, HANGUPS)

    def run(self) -> None:
        """Pump until the port fails."""
        try:
            while True:
                for key, events in self._selector.select():
                    if key.data is None:
                        self._on_port(events)
                    elif key.data == HANGUPS:
                        self._on_hangups()
                    elif key.data in self._streams:
                        self._on_stream(key.data, events)
                self._flush()
        finally:
            for number in list(self._streams):
                self._drop(number)
            self._selector.close()
            self._hangups.close()
            os.close(self._port)

    def _on_port(self, events: int) -> None:
        if not events & selectors.EVENT_READ:
            return
        try:
            data = os.read(self._port, READ)
        except BlockingIOError:
            return
        if not data:
            # The host's end is closed (the keeper is being replaced). Sessions start with its hello; wait for that.
            for number in list(self._streams):
                self._drop(number)
            self._mux.reset()
            self._outgoing.clear()
            time.sleep(REOPEN_S)
            return
        for event in self._mux.feed(data):
            self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, Ready):
            for number in list(self._streams):
                self._drop(number)
            self._outgoing.clear()
        elif isinstance(event, Opened):
            self._open(event.stream, event.service)
        elif isinstance(event, Closed):
            self._drop(event.stream)
        elif isinstance(event, Data | Eof | Writable):
            stream = self._streams.get(event.stream)
            if stream is None:
                return
            if isinstance(event, Data):
                stream.pending += event.data
                self._write(event.stream, stream)
            elif isinstance(event, Eof):
                stream.eof_pending = True
                self._write(event.stream, stream)
            else:
                self._update(event.stream, stream)

    def _open(self, number: int, service: str) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._services.start(service, theirs)
        except (OSError, ValueError) as error:
            log.info("service %r: %s", service, error)
            ours.close()
            theirs.close()
            self._mux.close(number)
            return
        ours.setblocking(False)
        self._streams[number] = _Stream(ours)
        self._selector.register(ours, selectors.EVENT_READ, number)

    def _on_stream(self, number: int, events: int) -> None:
        stream = self._streams[number]
        if events & selectors.EVENT_WRITE:
            self._write(number, stream)
        if events & selectors.EVENT_READ and number in self._streams:
            self._read(number, stream)

    def _read(self, number: int, stream: _Stream) -> None:
        room = min(READ, self._mux.room(number))
        if not room or len(self._outgoing) > MAX_PENDING:
            self._update(number, stream)
            return
        try:
            data = stream.sock.recv(room)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._mux.send(number, data)
        else:
            stream.read_open = False
            self._mux.send_eof(number)
            # The service has said all; it may still listen. Once it has closed altogether, nobody does.
            self._hangups.register(stream.sock, 0)
            self._finish(number, stream)
        self._update(number, stream)

    def _on_hangups(self) -> None:
        """Services have closed that had said all before."""
        gone = {descriptor for descriptor, _ in self._hangups.poll(0)}
        for number, stream in list(self._streams.items()):
            if stream.sock.fileno() in gone:
                self._close(number)

    def _write(self, number: int, stream: _Stream) -> None:
        try:
            while stream.pending:
                sent = stream.sock.send(stream.pending)
                del stream.pending[:sent]
                self._mux.consumed(number, sent)
        except BlockingIOError:
            pass
        except OSError:
            # The service has closed, perhaps with an answer to what it did not want to read: that is still to be read.
            stream.pending.clear()
            stream.eof_pending, stream.write_open = False, False
            self._finish(number, stream)
        if stream.eof_pending and not stream.pending:
            stream.eof_pending, stream.write_open = False, False
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_WR)
            self._finish(number, stream)
        self._update(number, stream)

    def _finish(self, number: int, stream: _Stream) -> None:
        """The stream is over when both directions have ended."""
        if not stream.read_open and not stream.write_open:
            self._close(number)

    def _close(self, number: int) -> None:
        self._mux.close(number)
        self._drop(number)

    def _update(self, number: int, stream: _Stream) -> None:
        if number not in self._streams:
            return
        mask = 0
        if stream.read_open and self._mux.room(number) and len(self._outgoing) <= MAX_PENDING:
            mask |= selectors.EVENT_READ
        if stream.pending:
            mask |= selectors.EVENT_WRITE
        registered = stream.sock in self._selector.get_map()
        if mask and registered:
            self._selector.modify(stream.sock, mask, number)
        elif mask:
            self._selector.register(stream.sock, mask, number)
        elif registered:
            self._selector.unregister(stream.sock)

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(stream.sock)
        stream.sock.close()

    def _flush(self) -> None:
        full = len(self._outgoing) > MAX_PENDING
        self._outgoing += self._mux.outgoing()
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._port, self._outgoing[:READ])]
        except BlockingIOError:
            pass
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if mask != self._port_mask:
            self._selector.modify(self._port, mask, None)
            self._port_mask = mask
        if full and len(self._outgoing) <= MAX_PENDING:
            for number, stream in list(self._streams.items()):
                self._update(number, stream)
