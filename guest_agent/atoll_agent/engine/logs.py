"""Reading a container's log: the tail, a span of time, and what comes next, as long as the client listens."""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ..api.types import LogQuery
from ..linux import inotify

STREAMS = {"stdout": 1, "stderr": 2}
READ = 1 << 18
WAIT_S = 5.0


def _lines(path: Path, end: int) -> Iterator[bytes]:
    """Whole lines from the oldest rotated file to byte `end` of the one being written."""
    rotated = sorted(
        (p for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdigit()), key=lambda p: -int(p.suffix[1:])
    )
    for old in rotated:
        with contextlib.suppress(FileNotFoundError), old.open("rb") as file:
            yield from file
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            end -= len(line)
            if end < 0:
                return
            yield line


def _end_of_lines(path: Path) -> int:
    """Where the last whole line ends: the supervisor may be in the middle of the next one."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, end - READ))
        return start + file.read(end - start).rfind(b"\n") + 1
    return 0


def read_log(path: Path, query: LogQuery, ended: Callable[[float], bool]) -> Iterator[tuple[int, bytes]]:
    """Yield (stream, text) in order; with `follow` an empty text now and then, to look for a lost client.

    Arguments:
        ended: waits up to so many seconds for the container's end and tells whether it has come.
    """
    end = _end_of_lines(path)
    chosen = (item for line in _lines(path, end) if (item := _choose(line, query)))
    if query.tail is None:
        yield from chosen
    elif query.tail:
        yield from deque(chosen, maxlen=query.tail)
    if query.follow:
        yield from _following(path, query, end, ended)


def _choose(line: bytes, query: LogQuery) -> tuple[int, bytes] | None:
    try:
        # As text: bytes of which json has to guess the encoding may lead it to one this Python does not have.
        record = json.loads(line.lstrip(b"\0").decode("utf-8", "surrogateescape"))
        stream, when, text = STREAMS[record["stream"]], record["time"], record["log"]
    except (ValueError, KeyError, TypeError):
        return None  # a line cut off by a power failure, which also leaves zeroes instead of text
    if not (query.stdout if stream == 1 else query.stderr):
        return None
    if (query.since and when < query.since) or (query.until and when > query.until):
        return None
    data = text.encode("utf-8", "surrogateescape")
    return stream, (when.encode() + b" " + data if query.timestamps else data)


def _following(
    path: Path, query: LogQuery, position: int, ended: Callable[[float], bool]
) -> Iterator[tuple[int, bytes]]:
    descriptor, watch = _open(path)
    os.lseek(descriptor, position, os.SEEK_SET)
    rest = b""
    try:
        while True:
            # Asked before reading: what was written before the end must still be read after it.
            over = ended(0)
            while data := os.read(descriptor, READ):
                *lines, rest = (rest + data).split(b"\n")
                yield from (item for line in lines if (item := _choose(line, query)))
            if over:
                return
            if _replaced(descriptor, path):
                os.close(descriptor)
                os.close(watch)
                descriptor, watch = _open(path)
            elif select.select([watch], [], [], WAIT_S)[0]:
                if inotify.read_masks(watch) & inotify.IN_CLOSE_WRITE:
                    ended(1.0)  # the supervisor closes the log just before it tells of the end
            else:
                yield 1, b""
    finally:
        os.close(descriptor)
        os.close(watch)


def _open(path: Path) -> tuple[int, int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    return descriptor, inotify.watch_file(str(path))


def _replaced(descriptor: int, path: Path) -> bool:
    try:
        now, then = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return now.st_ino != then.st_ino or now.st_size < os.lseek(descriptor, 0, os.SEEK_CUR)
