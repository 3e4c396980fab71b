"""The standard streams of one process: its ends of the pipes (or its terminal), the log, and the attached clients.

All bytes of a process go through its `Streams` in the supervisor. A client is a socket that the agent handed over; it
may come before the process starts and several may be attached. A client that does not read fills its queue, and at
`QUEUE_LIMIT` the process's output waits for it, as a pipe would: nothing is lost and memory stays bounded.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from functools import partial

from .log_file import LogFile
from .loop import HANGUP, READ, WRITE, Loop

CHUNK = 64 * 1024
QUEUE_LIMIT = 1 << 20
STDOUT, STDERR = 1, 2
DEFAULT_DETACH_KEYS = b"\x10\x11"


class Client:
    """One attached connection."""

    def __init__(
        self, sock: socket.socket, streams: Streams, *, stdin: bool, outputs: frozenset[int], framed: bool, keys: bytes
    ) -> None:
        sock.setblocking(False)
        self._sock, self._streams, self._loop = sock, streams, streams.loop
        self.outputs, self._framed = outputs, framed
        self._reads_stdin = stdin
        self._keys, self._tail = keys, b""
        self._queue: deque[bytes] = deque()
        self.queued = 0
        self._ending = False
        self._update()

    def _update(self) -> None:
        mask = int(select.EPOLLERR)  # a hang-up is always reported; an empty mask would stop watching
        if self._reads_stdin and self._streams.stdin_ready:
            mask |= READ
        if self._queue:
            mask |= WRITE
        self._loop.watch(self._sock.fileno(), mask, self._on_event)

    def stdin_changed(self) -> None:
        """The process's stdin became ready or busy."""
        if self._sock.fileno() >= 0:
            self._update()

    def queue(self, stream: int, data: bytes) -> None:
        """Send output of the process to this client."""
        if stream not in self.outputs or self._ending:
            return
        if self._framed:
            self._queue.append(bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big"))
            self.queued += 8
        self._queue.append(data)
        self.queued += len(data)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._queue:
                sent = self._sock.send(b"".join(self._queue) if self.queued < CHUNK else self._queue[0])
                self._drop(sent)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._ending and not self._queue:
            self.close()
        else:
            self._update()

    def _drop(self, size: int) -> None:
        self.queued -= size
        while size:
            first = self._queue[0]
            if len(first) <= size:
                size -= len(first)
                self._queue.popleft()
            else:
                self._queue[0] = first[size:]
                size = 0

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._flush()
            self._streams.client_drained()
        if self._sock.fileno() < 0:
            return
        if events & READ:
            self._read()
        elif events & HANGUP:
            self.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            self._reads_stdin = False
            self._streams.client_stdin_ended()
            self.stdin_changed()
            return
        if self._keys and (typed := self._find_detach(data)) is not None:
            self._streams.write_stdin(data[:typed])
            self.end()
            return
        self._streams.write_stdin(data)

    def _find_detach(self, data: bytes) -> int | None:
        """Look for the detach keys, which may come in several reads; how many bytes of this one were typed before."""
        whole = self._tail + data
        at = whole.find(self._keys)
        if at >= 0:
            return max(0, at - len(self._tail))
        self._tail = whole[len(whole) - len(self._keys) + 1 :] if len(whole) >= len(self._keys) else whole
        return None

    def end(self) -> None:
        """No more output will come: close once the queue is sent."""
        self._ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Drop the connection now."""
        if self._sock.fileno() < 0:
            return
        self._loop.forget(self._sock.fileno())
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._queue.clear()
        self.queued = 0
        self._streams.client_gone(self)


class Streams:
    """The hub of one process's streams."""

    def __init__(self, loop: Loop, on_idle: Callable[[], None] = lambda: None) -> None:
        self.loop = loop
        self._on_idle = on_idle
        self._clients: list[Client] = []
        self._outputs: dict[int, int] = {}
        self._stdin = -1
        self._stdin_once = False
        self._stdin_queue = bytearray()
        self._stdin_ending = False
        self._started = False
        self._log: LogFile | None = None
        self._paused = False
        self.terminal = False

    # -- the process's side ------------------------------------------------------------------

    def connect(
        self, outputs: dict[int, int], stdin: int, *, stdin_once: bool, log: LogFile | None, terminal: bool
    ) -> None:
        """The process runs: take over our ends of its streams.

        Arguments:
            outputs: descriptor to stream number (a terminal has one, stream 1).
            stdin: where its input is written; -1 for none; may be the terminal.
        """
        self._outputs, self._stdin, self._stdin_once = outputs, stdin, stdin_once
        self._log, self.terminal, self._started = log, terminal, True
        self._paused = False
        for descriptor in {*outputs, stdin} - {-1}:
            os.set_blocking(descriptor, False)
        self._resume()
        for client in list(self._clients):
            client.stdin_changed()
        if self._stdin_ending or self._stdin_queue:
            self._flush_stdin()

    def _resume(self) -> None:
        for descriptor in self._outputs:
            self.loop.watch(descriptor, READ, partial(self._on_ready, descriptor))
        self._keep_terminal_writable()

    def _keep_terminal_writable(self) -> None:
        """A terminal is one descriptor for both directions: input that waits must not be forgotten with its output."""
        if self._stdin in self._outputs and self._stdin_queue:
            self._watch_stdin(True)

    def _on_ready(self, descriptor: int, events: int) -> None:
        self._on_output(descriptor)

    def _on_output(self, descriptor: int) -> bool:
        """Pass one read on; False when there was nothing."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the other side of a terminal has been closed
        if not data:
            self._close_output(descriptor)
            return False
        stream = self._outputs[descriptor]
        if self._log:
            self._log.write(stream, data)
        for client in list(self._clients):
            client.queue(stream, data)
        if any(client.queued > QUEUE_LIMIT for client in self._clients):
            self._pause()
        return True

    def _close_output(self, descriptor: int) -> None:
        self._outputs.pop(descriptor, None)
        self.loop.forget(descriptor)
        if descriptor != self._stdin:
            os.close(descriptor)

    def _pause(self) -> None:
        self._paused = True
        for descriptor in self._outputs:
            self.loop.forget(descriptor)
        self._keep_terminal_writable()

    def finish(self) -> None:
        """The process is gone: pass on what is left in its pipes, then let the clients end."""
        for descriptor in list(self._outputs):
            while descriptor in self._outputs and self._on_output(descriptor):
                pass
            if descriptor in self._outputs:
                self._close_output(descriptor)
        self._close_stdin()
        if self._log:
            self._log.close()
            self._log = None
        self._started = False
        self._stdin_ending = False
        for client in list(self._clients):
            client.end()
        self._check_idle()

    # -- the clients' side -------------------------------------------------------------------

    def attach(
        self,
        sock: socket.socket,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        framed: bool,
        keys: bytes = b"",
        head: bytes = b"",
    ) -> None:
        """Add a client; its socket is ours from now on. `head` is input that came before it was handed over."""
        if stdin and head:
            self.write_stdin(head)
        outputs = frozenset(n for n, wanted in ((STDOUT, stdout), (STDERR, stderr)) if wanted)
        self._clients.append(Client(sock, self, stdin=stdin, outputs=outputs, framed=framed, keys=keys))

    def client_gone(self, client: Client) -> None:
        """A client closed."""
        if client in self._clients:
            self._clients.remove(client)
        self.client_drained()
        self._check_idle()

    def _check_idle(self) -> None:
        if self.idle:
            self._on_idle()

    def client_drained(self) -> None:
        """A client read something: go on when no queue is full."""
        if self._paused and all(client.queued <= QUEUE_LIMIT // 2 for client in self._clients):
            self._paused = False
            self._resume()

    @property
    def idle(self) -> bool:
        """Whether nothing is connected at either end, and no input waits for a start."""
        return not (self._started or self._clients or self._stdin_queue or self._stdin_ending)

    def close(self) -> None:
        """Drop every client (the process will never start)."""
        for client in list(self._clients):
            client.close()

    # -- stdin -------------------------------------------------------------------------------

    @property
    def stdin_ready(self) -> bool:
        """Whether a client may send input now."""
        return self._started and len(self._stdin_queue) < CHUNK

    def write_stdin(self, data: bytes) -> None:
        """Give input to the process (once it runs); without a stdin it is thrown away."""
        if self._stdin >= 0 or not self._started:
            self._stdin_queue += data
            self._flush_stdin()

    def _flush_stdin(self) -> None:
        if self._stdin < 0:
            return
        busy = len(self._stdin_queue) >= CHUNK
        try:
            while self._stdin_queue:
                del self._stdin_queue[: os.write(self._stdin, self._stdin_queue)]
        except BlockingIOError:
            self._watch_stdin(True)
            return
        except OSError:
            self._close_stdin()
            return
        self._watch_stdin(False)
        if self._stdin_ending:
            self._close_stdin()
        elif busy:
            for client in list(self._clients):
                client.stdin_changed()

    def _watch_stdin(self, wanted: bool) -> None:
        terminal = self._stdin in self._outputs
        if terminal:
            mask = (0 if self._paused else READ) | (WRITE if wanted else 0)
        else:
            mask = WRITE if wanted else 0
        self.loop.watch(self._stdin, mask, self._on_stdin)

    def _on_stdin(self, events: int) -> None:
        descriptor = self._stdin
        if descriptor in self._outputs and events & (READ | HANGUP):
            self._on_output(descriptor)
        if events & WRITE and self._stdin >= 0:
            self._flush_stdin()
        elif events & HANGUP and descriptor == self._stdin and descriptor not in self._outputs:
            self._close_stdin()

    def client_stdin_ended(self) -> None:
        """A client sent its last input. With stdin_once that is the process's end of input too."""
        if not self._started:
            self._stdin_ending = True
        elif self._stdin_once and not self.terminal:
            self._stdin_ending = True
            self._flush_stdin()

    def _close_stdin(self) -> None:
        if self._stdin < 0:
            return
        descriptor, self._stdin = self._stdin, -1
        self._stdin_queue.clear()
        self.loop.forget(descriptor)
        if descriptor not in self._outputs:
            os.close(descriptor)
        for client in list(self._clients):
            client.stdin_changed()
