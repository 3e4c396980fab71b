"""A Windows named pipe as a stream.

Overlapped, because on a synchronous handle a blocked read blocks every write. The end of what is sent is told by an
empty message, the convention of Docker's clients (go-winio), since a pipe has no half-close of its own.
"""

from __future__ import annotations

import contextlib
import sys

PIPE_BUSY = 231
BUSY_TIMEOUT_MS = 10_000

if sys.platform == "win32":
    import _winapi

    class PipeStream:
        """One client end of a pipe."""

        def __init__(self, handle: int) -> None:
            self._handle = handle
            self._rest = b""

        def recv(self, size: int) -> bytes:
            if self._rest:
                data, self._rest = self._rest[:size], self._rest[size:]
                return data
            try:
                overlapped, _ = _winapi.ReadFile(self._handle, size, overlapped=True)
                count, _ = overlapped.GetOverlappedResult(True)
            except BrokenPipeError:
                return b""
            return bytes(overlapped.getbuffer() or b"")[:count]

        def sendall(self, data: bytes) -> None:
            view = data
            while view:
                sent = self._write(view)
                view = view[sent:]

        def _write(self, data: bytes) -> int:
            overlapped, _ = _winapi.WriteFile(self._handle, data, overlapped=True)
            count, _ = overlapped.GetOverlappedResult(True)
            return int(count)

        def shutdown_write(self) -> None:
            with contextlib.suppress(OSError):
                self._write(b"")

        def is_stale(self) -> bool:
            try:
                available, _ = _winapi.PeekNamedPipe(self._handle, 0)[:2]
            except OSError:
                return True
            return bool(available)

        def close(self) -> None:
            if self._handle:
                handle, self._handle = self._handle, 0
                _winapi.CloseHandle(handle)

    def open_pipe(name: str) -> PipeStream:
        r"""Connect to `\\.\pipe\NAME`.

        Raises:
            OSError: nobody listens there.
        """
        path = name if name.startswith("\\\\") else "\\\\.\\pipe\\" + name
        access = _winapi.GENERIC_READ | _winapi.GENERIC_WRITE
        while True:
            try:
                handle = _winapi.CreateFile(
                    path, access, 0, _winapi.NULL, _winapi.OPEN_EXISTING, _winapi.FILE_FLAG_OVERLAPPED, _winapi.NULL
                )
                return PipeStream(handle)
            except OSError as error:
                if error.winerror != PIPE_BUSY:
                    raise
                # All instances are taken: the server makes another one as soon as it has accepted.
                _winapi.WaitNamedPipe(path, BUSY_TIMEOUT_MS)

else:
    from typing import NoReturn

    def open_pipe(name: str) -> NoReturn:
        """There are no named pipes of this kind outside Windows.

        Raises:
            OSError: always.
        """
        raise OSError(f"named pipes are only available on Windows: {name}")
