"""How a build tells what it is doing. The host draws bars; the command line prints lines."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """One task at a time: `started`, any number of `advanced`, `finished`. Calls may come from several threads."""

    def started(self, name: str, total_bytes: int) -> None:
        """A task begins; `total_bytes` is 0 where the size is not known."""

    def advanced(self, n: int) -> None:
        """`n` more bytes are done; negative when a broken download starts anew."""

    def finished(self) -> None:
        """The task is done."""

    def note(self, message: str) -> None:
        """Something the reader should know, such as a mirror that has moved on."""


class Silent:
    """Tells nobody."""

    def started(self, name: str, total_bytes: int) -> None:
        """See `Progress`."""

    def advanced(self, n: int) -> None:
        """See `Progress`."""

    def finished(self) -> None:
        """See `Progress`."""

    def note(self, message: str) -> None:
        """See `Progress`."""


class Lines:
    """One line per task on a text stream, with the time it took."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._name = ""
        self._bytes = 0
        self._since = 0.0

    def started(self, name: str, total_bytes: int) -> None:
        """See `Progress`."""
        self._name, self._bytes, self._since = name, 0, time.monotonic()

    def advanced(self, n: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._bytes += n

    def finished(self) -> None:
        """See `Progress`."""
        size = f", {self._bytes / 1e6:.1f} MB" if self._bytes else ""
        self.note(f"{self._name}: {time.monotonic() - self._since:.1f} s{size}")

    def note(self, message: str) -> None:
        """See `Progress`."""
        print(message, file=self._stream, flush=True)
