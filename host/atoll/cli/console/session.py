"""A container's or exec's streams joined to this process's own, until they end or the person leaves."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from ...client.demux import STDERR, Demultiplexer, DemuxError
from ...errors import ProtocolError
from ..render import out_bytes
from .keys import DetachFilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ...client.transport import RawStream

    T = TypeVar("T")

INPUT_CHUNK = 32 * 1024


class Session:
    """One attachment.

    Arguments:
        stream: the hijacked connection.
        tty: the container has a terminal: its output is one stream and what is typed is watched for `detach_keys`.
        stdin: pass on this process's stdin.
    """

    def __init__(self, stream: RawStream, *, tty: bool, stdin: bool, detach_keys: bytes = b"") -> None:
        self._stream = stream
        self._tty = tty
        self._stdin = stdin
        self._filter = DetachFilter(detach_keys if tty else b"")
        self._detached = False

    def begin_input(self) -> None:
        """Start to pass stdin on, in a thread that ends with the process."""
        if self._stdin:
            threading.Thread(target=self._pump_input, daemon=True).start()

    def pump_output(self) -> bool:
        """Print what arrives until the other end closes; returns whether the person left with the detach keys.

        Raises:
            ProtocolError: the stream is not what the engine said it is.
        """
        interruptible(self._pump_output)
        return self._detached

    def close(self) -> None:
        """Leave the stream."""
        self._stream.close()

    def _pump_output(self) -> None:
        demux = Demultiplexer()
        while True:
            try:
                data = self._stream.recv()
            except OSError:
                return  # a broken connection shows in the wait that runs beside this
            if not data:
                return
            if self._tty:
                out_bytes(data)
                continue
            try:
                for number, part in demux.feed(data):
                    out_bytes(part, error=number == STDERR)
            except DemuxError as error:
                raise ProtocolError(str(error)) from error

    def _pump_input(self) -> None:
        with contextlib.suppress(OSError):  # the container may end, and its connection with it, at any time
            while data := os.read(0, INPUT_CHUNK):
                passed, left = self._filter.feed(data)
                if passed:
                    self._stream.sendall(passed)
                if left:
                    self._detached = True
                    self._stream.close()
                    return
            self._stream.shutdown_write()


def interruptible(work: Callable[[], T]) -> T:
    """Do blocking work so that Ctrl-C is noticed: Windows does not interrupt a socket's read, so it runs elsewhere."""
    if sys.platform != "win32":
        return work()
    from concurrent.futures import Future

    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    return future.result()
