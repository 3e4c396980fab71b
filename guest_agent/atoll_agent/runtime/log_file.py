"""A container's output on disk: JSON lines as Docker's json-file driver writes them, with rotation.

Written by the supervisor, so the log goes on while the agent is away.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

LINE_LIMIT = 16 * 1024
"""Longer lines are written in parts without a final newline, as Docker does."""

NAMES = {1: "stdout", 2: "stderr"}


def format_time(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


class LogFile:
    """Appends to `path`; rotates to `path.1`, `path.2` ... beyond `max_size` bytes."""

    def __init__(self, path: str, max_size: int = 0, max_file: int = 1) -> None:
        self._path, self._max_size, self._max_file = path, max_size, max_file
        self._partial = {1: b"", 2: b""}
        self._descriptor = self._open()

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(descriptor).st_size
        # A crash or a full disk may have torn the last line; the next shall not go with it.
        self._torn = self._size > 0 and os.pread(descriptor, 1, self._size - 1) != b"\n"
        return descriptor

    def write(self, stream: int, data: bytes) -> None:
        """Add output; an incomplete last line waits for its rest."""
        data = self._partial[stream] + data
        *lines, rest = data.split(b"\n")
        stop = format_time(time.time_ns())
        tail = f',"stream":"{NAMES[stream]}","time":"{stop}"}}\n'
        out = [self._format(line + b"\n", tail) for line in lines]
        while len(rest) >= LINE_LIMIT:
            out.append(self._format(rest[:LINE_LIMIT], tail))
            rest = rest[LINE_LIMIT:]
        self._partial[stream] = rest
        if out:
            self._append("".join(out).encode())

    @staticmethod
    def _format(line: bytes, tail: str) -> str:
        parts = (
            [line[at : at + LINE_LIMIT] for at in range(0, len(line), LINE_LIMIT)] if len(line) > LINE_LIMIT else [line]
        )
        return "".join(
            '{"log":' + json.dumps(part.decode("utf-8", "replace"), ensure_ascii=False) + tail for part in parts
        )

    def _append(self, data: bytes) -> None:
        # A full disk must not stop the container or the supervisor: the lines are lost, the rest goes on.
        with contextlib.suppress(OSError):
            data = b"\n" + data if self._torn else data
            written = os.write(self._descriptor, data)
            self._torn = written < len(data)
            self._size += written
            if self._max_size and self._size > self._max_size:
                self._rotate()

    def _rotate(self) -> None:
        os.close(self._descriptor)
        for number in range(self._max_file - 1, 0, -1):
            source = self._path if number == 1 else f"{self._path}.{number - 1}"
            with contextlib.suppress(FileNotFoundError):
                os.replace(source, f"{self._path}.{number}")
        if self._max_file == 1:
            os.truncate(self._path, 0)
        self._descriptor = self._open()

    def close(self) -> None:
        """Write incomplete last lines and close."""
        for stream, rest in self._partial.items():
            if rest:
                tail = f',"stream":"{NAMES[stream]}","time":"{format_time(time.time_ns())}"}}\n'
                self._append(self._format(rest, tail).encode())
                self._partial[stream] = b""
        os.close(self._descriptor)
