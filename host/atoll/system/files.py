"""Files that are there whole or not at all, on every operating system."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

REPLACE_S = 5.0
POLL_S = 0.01


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file's content: written beside, fsynced, renamed. When that fails, nothing has changed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _replace(beside: Path, path: Path) -> None:
    """Rename into place. Windows refuses while somebody reads the old file: then once more, when they have finished."""
    deadline = time.monotonic() + REPLACE_S
    while True:
        try:
            beside.replace(path)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() >= deadline:
                raise
        time.sleep(POLL_S)
