"""A lock between processes: a file that one of them holds open. It goes with its process, however that ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType

POLL_S = 0.02


class FileLock:
    """An exclusive lock on a file.

    Arguments:
        path: made when missing; never removed, since removing it while another waits would split the lock in two.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock; False when the time is up."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + timeout_s
        while not self._try():
            if time.monotonic() >= deadline:
                os.close(self._descriptor)
                self._descriptor = -1
                return False
            time.sleep(POLL_S)  # neither flock nor msvcrt has a wait with a deadline
        return True

    def _try(self) -> bool:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FileLock:
        self.acquire(float("inf"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
